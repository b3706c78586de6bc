# METADATA
# title: What the starter rules are told
# description: |-
#   Settings come from countersign.yaml, policies.starter.data, and are read here only. Each has a default, so that a
#   repository without settings is judged too. What is there but of another type is denied by settings.readable: a rule that
#   silently did not run would be an allow.
package countersign.lib.settings

# All of them, {} if there are none.
all := object.union({}, data.countersign.settings)

default all := {}

# What type each has.
types := {
	"registries": "array",
	"max_deletions": "number",
	"max_changes": "number",
	"approvals": "number",
	"approvals_signed": "boolean",
	"break_glass": "object",
	"protected": "array",
	"production": "array",
	"ticket": "pattern",
	"message": "pattern",
	"freezes": "array",
	"checks": "array",
	"kubernetes": "version",
	"labels": "array",
	"sources": "array",
	"provenance": "array",
	"build_sources": "array",
}

# Those that are there and are not what they should be: [name, type].
unreadable := [[name, type] |
	some name, type in types
	value := all[name]
	not is_of(type, value)
]

is_of("array", value) if is_array(value)

is_of("number", value) if is_number(value)

is_of("object", value) if is_object(value)

is_of("boolean", value) if is_boolean(value)

is_of("pattern", value) if regex.is_valid(value)

is_of("version", value) if regex.match(`^1\.[0-9]+$`, value)

# Registries that images may come from: hosts, or hosts with a path. Undefined: the rule about registries is silent.
registries := all.registries

# How many objects one change may delete.
default max_deletions := 10

max_deletions := all.max_deletions if is_number(all.max_deletions)

# How many objects one change may create, update and delete together. Undefined: as many as it likes.
max_changes := all.max_changes if is_number(all.max_changes)

# Approvals that a change needs from people other than its authors.
default approvals := 0

approvals := all.approvals if is_number(all.approvals)

# Whether only approvals under the approver's own key count, and none that a forge or this service vouches for.
default approvals_signed := false

approvals_signed if all.approvals_signed == true

# Who may do without approvals in an emergency.
default break_glass := {"people": [], "groups": []}

break_glass := object.union({"people": [], "groups": []}, all.break_glass) if is_object(all.break_glass)

# Paths that only some people may change. A pattern that ends in /** means the folder and everything in it.
default protected := [{
	"paths": ["countersign.yaml", ".countersign/**", "policies/**", "CODEOWNERS", ".github/**", ".gitlab-ci.yml"],
	"owners": [],
}]

protected := all.protected if is_array(all.protected)

# Names of the environments that are production, as globs. Undefined: labels and names tell.
production := all.production if is_array(all.production)

# Regular expressions of what a ticket looks like, and of what a commit's first line looks like.
ticket := all.ticket if regex.is_valid(all.ticket)

message := all.message if regex.is_valid(all.message)

# When nothing may change: [{from, until, environments, reason}] or [{days, hours, zone, environments, reason}].
default freezes := []

freezes := all.freezes if is_array(all.freezes)

# Names of checks (CI results) that a change needs.
default checks := []

checks := all.checks if is_array(all.checks)

# The Kubernetes version of the targets, as "1.34". Undefined: any.
kubernetes := to_number(split(all.kubernetes, ".")[1]) if is_of("version", all.kubernetes)

# Labels that every object has.
default labels := []

labels := all.labels if is_array(all.labels)

# Where GitOps sources and charts may come from: beginnings of URLs.
sources := all.sources if is_array(all.sources)

# Registries and paths whose images must have provenance. Undefined: all.
provenance := all.provenance if is_array(all.provenance)

# What images may be built from: beginnings of the URIs in their provenance.
build_sources := all.build_sources if is_array(all.build_sources)
