# METADATA
# title: Deletions are meant
# description: A wrong path or a lost file looks to GitOps like the wish to delete.
package countersign.change.deletion

import data.countersign.lib.settings

# What takes other things or data with it when it goes.
precious := {
	["", "Namespace"]: "every object in it",
	["", "PersistentVolumeClaim"]: "its data",
	["", "PersistentVolume"]: "its data",
	["apiextensions.k8s.io", "CustomResourceDefinition"]: "every object of its kind",
	["storage.k8s.io", "StorageClass"]: "the way to make its volumes",
}

# METADATA
# title: Nothing is deleted that takes data or other objects with it
# custom:
#   id: deletion.guard
#   bad: "git rm namespace.yaml"
#   good: "an exception that names this namespace"
#   severity: critical
#   scope: change
#   controls: ["SOC2:A1.2", "ISO27001:A.8.10", "NIST-800-53:CM-3"]
deny contains result if {
	some change in input.changes
	change.op == "delete"
	lost := precious[[group(change.object.apiVersion), change.object.kind]]
	result := {
		"msg": sprintf(`%s "%s" would be deleted, and with it %s`, [change.object.kind, change.object.name, lost]),
		"object": change.object,
		"fix": "Put the manifest back; if the deletion is meant, ask for an exception that names this object",
	}
}

# METADATA
# title: One change does not delete much
# description: The limit is settings.max_deletions, 10 if it is not set.
# custom:
#   id: deletion.many
#   bad: "11 objects deleted in one push"
#   good: "several changes"
#   severity: high
#   scope: change
#   controls: ["SOC2:A1.2", "NIST-800-53:CM-3"]
deny contains result if {
	deletions := count([1 | some change in input.changes; change.op == "delete"])
	deletions > settings.max_deletions
	result := {
		"msg": sprintf("%d objects would be deleted at once, more than %d", [deletions, settings.max_deletions]),
		"fix": "Look whether a folder was moved or lost; else delete in several changes, or raise settings.max_deletions",
	}
}

group(api_version) := split(api_version, "/")[0] if contains(api_version, "/")

group(api_version) := "" if not contains(api_version, "/")
