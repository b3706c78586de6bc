package countersign.bench.volume_types

import data.countersign.bench.lib

allowed := {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}

# METADATA
# title: Only the restricted kinds of volumes
# custom: {scope: object}
deny contains msg if {
	some volume in lib.pod.volumes
	some kind, _ in volume
	kind != "name"
	not kind in allowed
	msg := sprintf("volume %q is a %s", [volume.name, kind])
}
