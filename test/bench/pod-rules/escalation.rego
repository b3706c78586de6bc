package countersign.bench.escalation

import data.countersign.bench.lib

# METADATA
# title: No privilege escalation
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	not container.securityContext.allowPrivilegeEscalation == false
	msg := sprintf("container %q may gain privileges", [container.name])
}
