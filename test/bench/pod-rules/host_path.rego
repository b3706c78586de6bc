package countersign.bench.host_path

import data.countersign.bench.lib

# METADATA
# title: No paths of the host
# custom: {scope: object}
deny contains msg if {
	some volume in lib.pod.volumes
	volume.hostPath
	msg := sprintf("volume %q mounts %s of the host", [volume.name, volume.hostPath.path])
}
