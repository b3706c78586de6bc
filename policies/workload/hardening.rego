# METADATA
# title: Containers have no more than they need
# custom:
#   scope: object
#   profile: strict
#   severity: medium
package countersign.workload.hardening

import data.countersign.lib.workload

# METADATA
# title: Containers do not write to their image
# description: Who breaks in has nowhere to put tools, and what runs stays what was scanned. Ephemeral containers are for debugging and may.
# custom:
#   id: workload.read-only-root
#   controls: ["SOC2:CC6.8", "ISO27001:A.8.19", "NIST-800-53:CM-7", "NIST-800-53:SI-7", "PCI-DSS:11.5.2"]
#   bad: "securityContext: {}"
#   good: "securityContext: {readOnlyRootFilesystem: true}"
deny contains result if {
	some [container, field, pod] in workload.containers
	not container.securityContext.readOnlyRootFilesystem == true
	field != "ephemeralContainers"
	not workload.windows(pod)
	result := {
		"msg": sprintf("%s may write to its root file system", [workload.label(container, field)]),
		"fix": "Set securityContext.readOnlyRootFilesystem to true, and mount an emptyDir where it must write",
	}
}

# METADATA
# title: Pods have an account of their own, or no token
# description: The namespace's default account is everybody's; its token lets a pod speak to the API server in the name of all.
# custom:
#   id: workload.service-account
#   controls: ["SOC2:CC6.3", "ISO27001:A.5.15", "NIST-800-53:AC-6", "PCI-DSS:7.2.5"]
#   bad: "spec: {containers: […]}"
#   good: "spec: {serviceAccountName: cart, containers: […]}"
deny contains result if {
	some pod in workload.pods
	account(pod) in {"", "default"}
	not pod.automountServiceAccountToken == false
	result := {
		"msg": "the pod gets the token of its namespace's default account",
		"fix": "Set serviceAccountName to an account of its own, or automountServiceAccountToken to false",
	}
}

account(pod) := object.get(pod, "serviceAccountName", object.get(pod, "serviceAccount", ""))

# METADATA
# title: Only the cluster's own pods come before all others
# description: Pods of these classes push others off their nodes, and are never pushed themselves.
# custom:
#   id: workload.system-priority
#   controls: ["SOC2:A1.1", "ISO27001:A.8.6", "NIST-800-53:SC-6"]
#   bad: "priorityClassName: system-cluster-critical"
#   good: "priorityClassName: shop-important"
deny contains result if {
	some pod in workload.pods
	startswith(pod.priorityClassName, "system-")
	not input.changes[0].object.namespace == "kube-system"
	result := {
		"msg": sprintf("the pod has the priority class %s, which is the cluster's own", [pod.priorityClassName]),
		"fix": "Use a priority class of your own",
	}
}
