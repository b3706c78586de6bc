package countersign.bench.probes

import data.countersign.bench.lib

# METADATA
# title: Containers of services are probed
# custom: {scope: object}
deny contains msg if {
	lib.object.kind in {"Deployment", "StatefulSet", "DaemonSet"}
	some container in lib.pod.containers
	some probe in ["livenessProbe", "readinessProbe"]
	not container[probe]
	msg := sprintf("container %q has no %s", [container.name, probe])
}
