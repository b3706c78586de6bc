package countersign.change.break_glass_test

import data.countersign.change.approvals
import data.countersign.change.break_glass
import data.countersign.lib.examples

named := {"approvals": 1, "break_glass": {"people": ["Ann@example.org"]}}

grouped := {"approvals": 1, "break_glass": {"groups": ["@sre"]}}

emergency := object.union(
	examples.many([]),
	{"operation": "break_glass", "reason": "the shop is down", "ticket": "INC-7", "groups": {"sre": ["ann@example.org"]}},
)

with_fields(fields) := object.union(emergency, fields)

says_nothing(the_input, settings) if {
	count(break_glass.deny) == 0 with input as the_input with data.countersign.settings as settings
	count(approvals.require) == 0 with input as the_input with data.countersign.settings as settings
}

denied(the_input, settings) if {
	count(break_glass.deny) == 1 with input as the_input with data.countersign.settings as settings
	count(approvals.require) == 1 with input as the_input with data.countersign.settings as settings
}

test_a_named_person_needs_no_approval if says_nothing(emergency, named)

test_so_does_a_member_of_a_named_group if says_nothing(emergency, grouped)

test_a_person_of_the_identity_map_is_named_too if {
	signature := object.union(examples.commit.signature, {"principal": "ann@home.example.org", "person": "ann@example.org"})
	says_nothing(with_fields({"commits": [examples.commit_with({"signature": signature})]}), named)
}

test_nobody_else_may if denied(emergency, {"approvals": 1, "break_glass": {"people": ["bo@example.org"]}})

test_nobody_may_without_settings if denied(emergency, {"approvals": 1})

test_not_without_a_signature if denied(with_fields({"commits": [examples.commit_with(examples.unsigned)]}), named)

test_not_when_somebody_else_signed_the_head if denied(with_fields({"head": "0000000000000000000000000000000000000000"}), named)

test_not_without_a_ticket if denied(with_fields({"ticket": " "}), named)

test_not_without_a_reason if denied(with_fields({"reason": ""}), named)

test_not_in_governance if {
	environment := object.union(emergency.environment, {"name": "governance"})
	denied(with_fields({"environment": environment}), named)
}

test_an_ordinary_change_is_none if {
	count(break_glass.deny) == 0 with input as examples.many([]) with data.countersign.settings as named
}
