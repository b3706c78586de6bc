# METADATA
# title: What the starter rules are told
# description: |-
#   Settings come from countersign.yaml, policies.starter.data, and are read here only. Each has a default, so that a
#   repository without settings is judged too.
package countersign.lib.settings

# All of them, {} if there are none.
all := object.union({}, data.countersign.settings)

default all := {}

# Registries that images may come from: hosts, or hosts with a path. Undefined: the rule about registries is silent.
registries := all.registries

# How many objects one change may delete.
default max_deletions := 10

max_deletions := all.max_deletions if is_number(all.max_deletions)

# Approvals that a change needs from people other than its authors.
default approvals := 0

approvals := all.approvals if is_number(all.approvals)

# Who may do without approvals in an emergency.
default break_glass := {"people": [], "groups": []}

break_glass := object.union({"people": [], "groups": []}, all.break_glass) if is_object(all.break_glass)

# Paths that only some people may change. A pattern that ends in /** means the folder and everything in it.
default protected := [{
	"paths": ["countersign.yaml", ".countersign/**", "policies/**", "CODEOWNERS", ".github/**", ".gitlab-ci.yml"],
	"owners": [],
}]

protected := all.protected if is_array(all.protected)
