package countersign.bench.proc_mount

import data.countersign.bench.lib

# METADATA
# title: Processes are masked
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	container.securityContext.procMount
	container.securityContext.procMount != "Default"
	msg := sprintf("container %q has proc mount %s", [container.name, container.securityContext.procMount])
}
