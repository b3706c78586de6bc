package countersign.bench.privileged

import data.countersign.bench.lib

# METADATA
# title: No privileged containers
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	container.securityContext.privileged == true
	msg := sprintf("container %q runs privileged", [container.name])
}
