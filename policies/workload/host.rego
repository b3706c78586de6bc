# METADATA
# title: Pods stay away from the host
package countersign.workload.host

import data.countersign.lib.workload

# METADATA
# title: No host namespaces
# custom:
#   id: workload.host-access
#   severity: critical
#   scope: object
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.22", "NIST-800-53:AC-6", "NIST-800-53:SC-39"]
deny contains result if {
	some pod in workload.pods
	some field in ["hostNetwork", "hostPID", "hostIPC"]
	pod[field] == true
	result := {"msg": sprintf("the pod shares the host's namespace: %s", [field]), "fix": sprintf("Remove %s", [field])}
}

# METADATA
# title: No host paths
# custom:
#   id: workload.host-access
#   severity: critical
#   scope: object
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.22", "NIST-800-53:AC-6", "NIST-800-53:SC-39"]
deny contains result if {
	some pod in workload.pods
	some volume in pod.volumes
	is_object(volume.hostPath)
	result := {
		"msg": sprintf(`the volume "%s" is the host's %s`, [object.get(volume, "name", "?"), object.get(volume.hostPath, "path", "/")]),
		"fix": "Use a volume that is no hostPath: a claim, an emptyDir, a ConfigMap",
	}
}

# METADATA
# title: No host ports
# custom:
#   id: workload.host-access
#   severity: high
#   scope: object
#   controls: ["SOC2:CC6.6", "ISO27001:A.8.22", "NIST-800-53:SC-7"]
deny contains result if {
	some [container, field, _] in workload.containers
	some port in container.ports
	port.hostPort > 0
	result := {
		"msg": sprintf("%s takes the host's port %d", [workload.label(container, field), port.hostPort]),
		"fix": "Remove hostPort and reach the container through a Service",
	}
}
