# METADATA
# title: Pods stay away from the host
# custom:
#   scope: object
#   severity: critical
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.22", "NIST-800-53:AC-6", "NIST-800-53:SC-39", "PCI-DSS:2.2.6"]
package countersign.workload.host

import data.countersign.lib.workload

# METADATA
# title: No host namespaces
# description: In the host's namespaces a pod sees the host's processes and traffic. Pod Security Standards, baseline.
# custom:
#   id: workload.host-namespaces
#   bad: "hostNetwork: true"
#   good: "hostNetwork: false"
deny contains result if {
	some pod in workload.pods
	some field in host_namespaces
	pod[field] == true
	result := {"msg": sprintf("the pod shares the host's namespace: %s", [field]), "fix": sprintf("Remove %s", [field])}
}

host_namespaces := ["hostNetwork", "hostPID", "hostIPC"]

# METADATA
# title: No host paths
# description: A folder of the node is a way to everything that runs on it. Pod Security Standards, baseline.
# custom:
#   id: workload.host-path
#   bad: "volumes: [{name: logs, hostPath: {path: /var/log}}]"
#   good: "volumes: [{name: logs, emptyDir: {}}]"
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
# description: A port of the node goes around Services and network policies. Pod Security Standards, baseline.
# custom:
#   id: workload.host-ports
#   severity: high
#   controls: ["SOC2:CC6.6", "ISO27001:A.8.22", "NIST-800-53:SC-7", "PCI-DSS:1.2.5"]
#   bad: "ports: [{containerPort: 8080, hostPort: 80}]"
#   good: "ports: [{containerPort: 8080}]"
deny contains result if {
	some [container, field, _] in workload.containers
	some port in container.ports
	port.hostPort > 0
	result := {
		"msg": sprintf("%s takes the host's port %v", [workload.label(container, field), port.hostPort]),
		"fix": "Remove hostPort and reach the container through a Service",
	}
}

# METADATA
# title: Probes and hooks ask the container itself
# description: |-
#   The kubelet calls them from the node: with a host of one's own, they reach what network policies keep the pod from. Pod Security
#   Standards, baseline.
# custom:
#   id: workload.host-probes
#   severity: high
#   controls: ["SOC2:CC6.6", "ISO27001:A.8.22", "NIST-800-53:SC-7", "PCI-DSS:1.3.1"]
#   bad: "livenessProbe: {httpGet: {host: 169.254.169.254, port: 80}}"
#   good: "livenessProbe: {httpGet: {path: /healthz, port: 8080}}"
deny contains result if {
	some [container, field, _] in workload.containers
	some [setting, host] in hosts(container)
	not host in {"", null}
	result := {
		"msg": sprintf("%s of %s asks the host %v", [setting, workload.label(container, field), host]),
		"fix": sprintf("Remove %s.host", [setting]),
	}
}

# What the kubelet is told to ask: [setting, host].
hosts(container) := array.concat(
	[[sprintf("%s.%s", [probe, handler]), host] |
		some probe in ["livenessProbe", "readinessProbe", "startupProbe"]
		some handler in ["httpGet", "tcpSocket"]
		host := container[probe][handler].host
	],
	[[sprintf("lifecycle.%s.%s", [hook, handler]), host] |
		is_object(container.lifecycle)
		some hook in ["postStart", "preStop"]
		some handler in ["httpGet", "tcpSocket"]
		host := container.lifecycle[hook][handler].host
	],
)
