package countersign.bench.run_as_non_root

import data.countersign.bench.lib

# METADATA
# title: Containers run as an ordinary user
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	not container.securityContext.runAsNonRoot
	not lib.pod.securityContext.runAsNonRoot
	msg := sprintf("container %q may run as root", [container.name])
}
