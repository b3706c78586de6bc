package countersign.bench.resources

import data.countersign.bench.lib

# METADATA
# title: Containers say what they need
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	missing := [concat(".", [group, name]) |
		some [group, name] in [["requests", "cpu"], ["requests", "memory"], ["limits", "memory"]]
		not container.resources[group][name]
	]
	count(missing) > 0
	msg := sprintf("container %q lacks %s", [container.name, concat(", ", missing)])
}
