package countersign.bench.labels

import data.countersign.bench.lib

required := {"app.kubernetes.io/name", "app.kubernetes.io/part-of", "team"}

# METADATA
# title: Recommended labels
# custom: {scope: object}
deny contains msg if {
	given := {label | some label, _ in lib.object.metadata.labels}
	missing := required - given
	count(missing) > 0
	msg := sprintf("%s/%s lacks the labels %s", [lib.object.kind, lib.object.metadata.name, concat(", ", sort(missing))])
}
