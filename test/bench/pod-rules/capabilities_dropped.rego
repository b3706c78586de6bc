package countersign.bench.capabilities_dropped

import data.countersign.bench.lib

# METADATA
# title: All capabilities are dropped
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	not "ALL" in container.securityContext.capabilities.drop
	msg := sprintf("container %q keeps capabilities", [container.name])
}
