package countersign.bench.capabilities_added

import data.countersign.bench.lib

allowed := {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"}

# METADATA
# title: No capabilities beyond the baseline
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	some capability in container.securityContext.capabilities.add
	not capability in allowed
	msg := sprintf("container %q adds capability %s", [container.name, capability])
}
