# METADATA
# title: Emergencies
# description: |-
#   Breaking the glass lets a named person do without approvals. It is asked for by the trailer Break-Glass of the head commit; whether
#   it may be is decided here, for the rule that denies it and for those that would wait otherwise.
package countersign.lib.break_glass

import data.countersign.lib.settings

asked if input.operation == "break_glass"

default allowed := false

# Never for governance: whoever may act in an emergency does not write the rules for it.
allowed if {
	asked
	input.environment.name != "governance"
	trim_space(input.reason) != ""
	trim_space(input.ticket) != ""
	named
}

named if {
	some commit in input.commits
	commit.id == input.head
	commit.signature.status == "verified"
	some name in names(commit.signature)
	name in people
}

names(signature) := {lower(signature.principal), lower(object.get(signature, "person", signature.principal))}

people contains lower(person) if some person in settings.break_glass.people

people contains lower(person) if {
	some group in settings.break_glass.groups
	some person in input.groups[lower(trim_prefix(group, "@"))]
}
