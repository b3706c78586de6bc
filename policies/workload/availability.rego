# METADATA
# title: Workloads survive what is to be expected
# custom:
#   scope: object
#   profile: strict
#   severity: medium
#   controls: ["SOC2:A1.2", "ISO27001:A.8.14", "NIST-800-53:CP-10"]
package countersign.workload.availability

import data.countersign.lib.environment
import data.countersign.lib.objects
import data.countersign.lib.workload

# What runs on and on, in several copies, behind a Service.
serving := [after |
	some [after, _] in objects.written
	after.kind in {"Deployment", "StatefulSet"}
	startswith(after.apiVersion, "apps/")
]

# METADATA
# title: Containers that serve say when they are ready
# description: Without a readiness probe a roll-out sends traffic to what cannot answer yet, and calls itself done. Containers with ports need one.
# custom:
#   id: workload.probes
#   bad: "containers: [{name: cart, ports: [{containerPort: 8080}]}]"
#   good: "containers: [{name: cart, ports: [{containerPort: 8080}], readinessProbe: {httpGet: {path: /readyz, port: 8080}}}]"
deny contains result if {
	some after in serving
	some container in after.spec.template.spec.containers
	count(container.ports) > 0
	not is_object(object_get(container, "readinessProbe"))
	result := {
		"msg": sprintf("%s has ports and no readiness probe", [workload.label(container, "containers")]),
		"fix": "Add readinessProbe",
	}
}

object_get(holder, key) := object.get(holder, key, null)

# METADATA
# title: Production runs more than one copy
# description: |-
#   One copy is an outage at each drain of its node. Counts where spec.replicas says 1; without the field it may be an autoscaler's. What
#   is production: settings.production, else labels and name of the environment.
# custom:
#   id: workload.replicas
#   bad: "kind: Deployment, spec: {replicas: 1}"
#   good: "kind: Deployment, spec: {replicas: 2}"
deny contains result if {
	some after in serving
	after.spec.replicas == 1
	environment.production
	result := {"msg": sprintf("%s has one replica in production", [objects.name(after)]), "fix": "Set spec.replicas to 2 or more"}
}

# METADATA
# title: Copies in production do not stand on one node
# description: Several replicas help only if they fail apart.
# custom:
#   id: workload.spread
#   severity: low
#   bad: "spec: {replicas: 3, template: {spec: {containers: […]}}}"
#   good: "topologySpreadConstraints: [{topologyKey: kubernetes.io/hostname, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway}]"
deny contains result if {
	some after in serving
	after.spec.replicas > 1
	pod := after.spec.template.spec
	not spread(pod)
	environment.production
	result := {
		"msg": sprintf("%s lets all its replicas stand on one node", [objects.name(after)]),
		"fix": "Add topologySpreadConstraints or affinity.podAntiAffinity to the pod",
	}
}

spread(pod) if count(pod.topologySpreadConstraints) > 0

spread(pod) if count(pod.affinity.podAntiAffinity) > 0

# METADATA
# title: Disruption budgets leave room for one
# description: A budget that allows no disruption stops every drain of a node, and so its security updates.
# custom:
#   id: workload.disruption-budget
#   controls: ["SOC2:A1.2", "ISO27001:A.8.8", "NIST-800-53:SI-2", "PCI-DSS:6.3.3"]
#   bad: "kind: PodDisruptionBudget, spec: {maxUnavailable: 0}"
#   good: "kind: PodDisruptionBudget, spec: {maxUnavailable: 1}"
deny contains result if {
	some [after, _] in objects.written
	after.kind == "PodDisruptionBudget"
	blocks(after.spec)
	result := {
		"msg": sprintf("%s allows no disruption at all", [objects.name(after)]),
		"fix": "Set spec.maxUnavailable to 1 or more, in place of minAvailable",
	}
}

blocks(spec) if spec.maxUnavailable in {0, "0", "0%"}

blocks(spec) if spec.minAvailable == "100%"
