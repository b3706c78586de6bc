import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const rules = new URL('pod-rules/', import.meta.url);

/** The 20 rules as teams with Conftest have them: all in `package main`, each looking at one object. */
export function writeRules(folder: string, style: 'array' | 'set'): void {
  mkdirSync(folder, { recursive: true });
  const other = style === 'array' ? 'containers-set.rego' : 'containers-array.rego';
  for (const name of readdirSync(rules)) {
    if (name === other) continue;
    const text = readFileSync(new URL(name, rules), 'utf8')
      .replace('package countersign.bench.lib', 'package lib')
      .replace(/package countersign\.bench\.\w+/, 'package main')
      .replace('data.countersign.bench.lib', 'data.lib')
      .replace('object := input.changes[0].after', 'object := input')
      .replace(/^# .*\n/gm, '')
      .replace(/\ballowed\b/g, `allowed_${name.slice(0, -'.rego'.length)}`);
    writeFileSync(join(folder, name), text);
  }
}

/** As manifests in repositories are: seven workloads of one to three containers, then a Service, a ConfigMap and an Ingress, and so on. */
export function writeManifests(folder: string, count: number): void {
  for (let i = 0; i < count; i++) {
    const team = join(folder, `team-${String(i % 100).padStart(2, '0')}`);
    if (i < 100) mkdirSync(team, { recursive: true });
    writeFileSync(join(team, `app-${i}.yaml`), manifest(i));
  }
}

function manifest(i: number): string {
  const kind = ['Deployment', 'StatefulSet', 'Deployment', 'CronJob', 'Deployment', 'DaemonSet', 'Deployment', 'Service', 'ConfigMap', 'Ingress'][i % 10]; // prettier-ignore
  const head = (apiVersion: string) =>
    `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata:\n  name: app-${i}\n  namespace: team-${i % 100}\n${labels(i, '  ')}`;
  switch (kind) {
    case 'Service':
      return `${head('v1')}spec:\n  selector:\n    app.kubernetes.io/name: app-${i}\n  ports:\n    - name: http\n      port: 80\n      targetPort: 8080\n`;
    case 'ConfigMap':
      return `${head('v1')}data:\n  level: "info"\n  settings.ini: |\n    [server]\n    address = 0.0.0.0:8080\n    workers = ${i % 16}\n`;
    case 'Ingress':
      return `${head('networking.k8s.io/v1')}spec:\n  rules:\n    - host: app-${i}.example.org\n      http:\n        paths:\n          - path: /\n            pathType: Prefix\n            backend:\n              service:\n                name: app-${i}\n                port:\n                  number: 80\n`;
    case 'CronJob':
      return `${head('batch/v1')}spec:\n  schedule: "*/${(i % 50) + 5} * * * *"\n  jobTemplate:\n    spec:\n      template:\n${pod(i, '        ')}`;
    default:
      return `${head('apps/v1')}spec:\n  replicas: ${(i % 5) + 1}\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: app-${i}\n  template:\n    metadata:\n${labels(i, '      ')}${pod(i, '    ')}`;
  }
}

function labels(i: number, at: string): string {
  const team = i % 4 === 0 ? '' : `${at}  team: team-${i % 100}\n`;
  return `${at}labels:\n${at}  app.kubernetes.io/name: app-${i}\n${at}  app.kubernetes.io/part-of: shop\n${team}`;
}

function pod(i: number, at: string): string {
  const containers = ['app', 'proxy', 'logs'].slice(0, (i % 3) + 1).map((name) => container(i, name, `${at}    `));
  return [
    `${at}spec:`,
    `${at}  securityContext:`,
    `${at}    runAsNonRoot: true`,
    `${at}    seccompProfile:`,
    `${at}      type: RuntimeDefault`,
    `${at}  containers:`,
    ...containers,
    `${at}  volumes:`,
    `${at}    - name: tmp`,
    i % 20 === 0 ? `${at}      hostPath:\n${at}        path: /var/lib/app` : `${at}      emptyDir: {}`,
    '',
  ].join('\n');
}

function container(i: number, name: string, at: string): string {
  const image = i % 7 === 0 ? `${name}:latest` : `registry.example.org/shop/${name}@sha256:${'a'.repeat(64)}`;
  const env = Array.from({ length: 8 }, (_, n) => `${at}    - name: SETTING_${n}\n${at}      value: "some value of setting ${n}"`); // prettier-ignore
  const probe = (kind: string) => `${at}  ${kind}Probe:\n${at}    httpGet:\n${at}      path: /${kind}\n${at}      port: http`; // prettier-ignore
  return [
    `${at}- name: ${name}`,
    `${at}  image: ${image}`,
    `${at}  env:`,
    ...env,
    `${at}  ports:`,
    `${at}    - name: http`,
    `${at}      containerPort: 8080`,
    `${at}      protocol: TCP`,
    `${at}  resources:`,
    `${at}    requests: {cpu: 100m, memory: 128Mi}`,
    `${at}    limits:`,
    `${at}      memory: 256Mi`,
    `${at}  securityContext:`,
    `${at}    allowPrivilegeEscalation: false`,
    `${at}    readOnlyRootFilesystem: ${i % 5 !== 0}`,
    `${at}    capabilities:`,
    `${at}      drop:`,
    `${at}        - ALL`,
    probe('liveness'),
    probe('readiness'),
    `${at}  volumeMounts:`,
    `${at}    - name: tmp`,
    `${at}      mountPath: /tmp`,
  ].join('\n');
}
