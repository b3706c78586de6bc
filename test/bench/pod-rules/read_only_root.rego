package countersign.bench.read_only_root

import data.countersign.bench.lib

# METADATA
# title: Root file systems are read-only
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	not container.securityContext.readOnlyRootFilesystem
	msg := sprintf("container %q can write to its root file system", [container.name])
}
