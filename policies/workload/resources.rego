# METADATA
# title: Workloads say what they need
package countersign.workload.resources

import data.countersign.lib.workload

# METADATA
# title: Containers request CPU and memory, and limit memory
# description: Without, one container can take a node away from all others. Requests and limits of the whole pod count.
# custom:
#   id: workload.resources
#   bad: "resources: {}"
#   good: "resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 256Mi}}"
#   severity: medium
#   scope: object
#   profile: strict
#   controls: ["SOC2:A1.1", "ISO27001:A.8.6", "NIST-800-53:SC-6"]
deny contains result if {
	some [container, field, pod] in workload.containers
	field != "ephemeralContainers" # the API knows no resources for these
	missing := [entry |
		some entry in ["requests.cpu", "requests.memory", "limits.memory"]
		not given(container, entry)
		not given(pod, entry)
	]
	count(missing) > 0
	result := {
		"msg": sprintf("%s does not say: %s", [workload.label(container, field), concat(", ", missing)]),
		"fix": sprintf("Set resources.%s", [concat(" and resources.", missing)]),
	}
}

# Kubernetes reads a quantity of nothing as no limit at all. A request counts as given where a limit is: it defaults to that.
given(holder, entry) if {
	[group, name] := split(entry, ".")
	some from in {group, "limits"}
	quantity := holder.resources[from][name]
	not regex.match(`^[+-]?[0.]+([a-zA-Z]|[eE][+-]?[0-9]+)*$`, sprintf("%v", [quantity]))
}
