import { createHash } from 'node:crypto';

// The shop's repository as text: what a team of a few people keeps in Git for four services and two environments.

export const services = ['cart', 'catalog', 'payment', 'web'] as const;
export type Service = (typeof services)[number];
export type Stage = 'staging' | 'production';
export const stages: readonly Stage[] = ['staging', 'production'];

/** Where the team's images come from, and the only registry their configuration allows. */
export const REGISTRY = 'registry.example.org';

/** A pinned image, as a build pipeline writes one. */
export function image(service: Service, version: string): string {
  return `${REGISTRY}/shop/${service}@sha256:${createHash('sha256').update(`${service} ${version}`).digest('hex')}`;
}

export const deploymentPath = (stage: Stage, service: Service): string =>
  `environments/${stage}/${service}/deployment.yaml`;

export interface DeploymentOptions {
  readonly image: string;
  readonly replicas: number;
  readonly privileged?: boolean;
}

export function deployment(service: Service, { image, replicas, privileged = false }: DeploymentOptions): string {
  const security = privileged
    ? `          securityContext:
            privileged: true
`
    : `          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            runAsNonRoot: true
            capabilities: {drop: [ALL]}
`;
  return `apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${service}
  labels: {app: ${service}, team: shop}
spec:
  replicas: ${replicas}
  selector:
    matchLabels: {app: ${service}}
  template:
    metadata:
      labels: {app: ${service}, team: shop}
    spec:
      serviceAccountName: ${service}
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: ${service}
          image: ${image}
          ports:
            - containerPort: 8080
          envFrom:
            - configMapRef: {name: ${service}}
          resources:
            requests: {cpu: 50m, memory: 64Mi}
            limits: {cpu: 500m, memory: 256Mi}
${security}`;
}

export function configMap(service: Service, values: Readonly<Record<string, string>>): string {
  const data = Object.entries(values).map(([key, value]) => `  ${key}: ${JSON.stringify(value)}\n`);
  return `apiVersion: v1
kind: ConfigMap
metadata:
  name: ${service}
  labels: {app: ${service}, team: shop}
data:
${data.join('')}`;
}

/** One service in one environment. */
export function serviceFiles(stage: Stage, service: Service, options: DeploymentOptions): Record<string, string> {
  const folder = `environments/${stage}/${service}`;
  return {
    [`${folder}/deployment.yaml`]: deployment(service, options),
    [`${folder}/config.yaml`]: configMap(service, {
      LOG_LEVEL: stage === 'production' ? 'warn' : 'debug',
      PORT: '8080',
    }),
    [`${folder}/service.yaml`]: `apiVersion: v1
kind: Service
metadata:
  name: ${service}
  labels: {app: ${service}, team: shop}
spec:
  selector: {app: ${service}}
  ports:
    - {port: 80, targetPort: 8080}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: ${service}
  labels: {app: ${service}, team: shop}
automountServiceAccountToken: false
`,
  };
}

/** The value that must never be seen outside Git and the cluster (invariant 10). */
export const SECRET_VALUE = 'sk_demo_7Qm2vXw9Lr4T';

/** What all services of an environment share. */
export function commonFiles(stage: Stage, namespace: string): Record<string, string> {
  const folder = `environments/${stage}`;
  return {
    [`${folder}/namespace.yaml`]: `apiVersion: v1
kind: Namespace
metadata:
  name: ${namespace}
  labels: {team: shop, tier: ${stage}}
`,
    [`${folder}/network.yaml`]: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: only-inside
  labels: {team: shop}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress:
    - from: [{podSelector: {}}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web-from-anywhere
  labels: {team: shop}
spec:
  podSelector:
    matchLabels: {app: web}
  policyTypes: [Ingress]
  ingress:
    - ports: [{port: 8080}]
`,
    [`${folder}/access.yaml`]: `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: on-call
  labels: {team: shop}
rules:
  - apiGroups: [""]
    resources: [pods, pods/log, events]
    verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: on-call
  labels: {team: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: on-call}
subjects:
  - {apiGroup: rbac.authorization.k8s.io, kind: Group, name: shop-on-call}
`,
    [`${folder}/payment/secret.yaml`]: `apiVersion: v1
kind: Secret
metadata:
  name: payment-gateway
  labels: {app: payment, team: shop}
type: Opaque
stringData:
  api-key: ${SECRET_VALUE}
`,
  };
}

/** What governs the repository: environments, the team's own rule beside the starter rules, and who may sign. */
export function governanceFiles(
  allowedSigners: string,
  namespaces: Readonly<Record<Stage, string>>,
): Record<string, string> {
  const environments = stages.map(
    (stage) => `  - name: shop/${stage}
    path: environments/${stage}
    ref: refs/heads/main
    target: ${stage}
    namespace: ${namespaces[stage]}
    labels: {tier: ${stage}}
`,
  );
  return {
    'README.md':
      '# shop\n\nWhat runs in staging and production. `countersign check` tells whether a change may go there.\n',
    'countersign.yaml': `apiVersion: countersign.dev/v1
environments:
${environments.join('')}policies:
  path: policies
  starter: {profile: baseline, data: {registries: [${REGISTRY}]}}
`,
    'policies/replicas.rego': `package countersign.shop

# METADATA
# title: Production survives the loss of a node
# custom:
#   id: shop.replicas
#   severity: medium
#   scope: change
#   controls: ["SOC2:A1.2"]
deny contains result if {
	input.environment.labels.tier == "production"
	some change in input.changes
	change.after.kind == "Deployment"
	replicas := object.get(change.after, ["spec", "replicas"], 1)
	replicas < 2
	result := {
		"msg": sprintf("Deployment %s asks for %d replica, production needs 2", [change.after.metadata.name, replicas]),
		"object": change.object,
		"fix": "set spec.replicas to 2 or more",
	}
}
`,
    '.countersign/allowed_signers': allowedSigners,
  };
}
