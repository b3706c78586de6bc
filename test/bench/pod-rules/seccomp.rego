package countersign.bench.seccomp

import data.countersign.bench.lib

# METADATA
# title: Seccomp is on
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	profile := object.get(container, ["securityContext", "seccompProfile", "type"], object.get(lib.pod, ["securityContext", "seccompProfile", "type"], "none"))
	not profile in {"RuntimeDefault", "Localhost"}
	msg := sprintf("container %q has seccomp profile %s", [container.name, profile])
}
