package countersign.change.approvals_test

import data.countersign.change.approvals
import data.countersign.lib.examples

two := {"approvals": 2}

approved_by(people) := object.union(
	examples.many([]),
	{"approvals": [{"principal": person, "via": "cli", "time": "2026-03-02T09:00:00Z", "verified": true} | some person in people]},
)

test_without_settings_nothing_is_required if {
	count(approvals.require) == 0 with input as examples.many([])
}

test_two_others_are_enough if {
	count(approvals.require) == 0 with input as approved_by(["bo@example.org", "cy@example.org"]) with data.countersign.settings as two
}

test_missing_approvals_are_named if {
	results := approvals.require with input as approved_by(["bo@example.org"]) with data.countersign.settings as two
	count(results) == 1
	some result in results
	result.msg == "1 of 2 approvals are there"
}

test_one_person_twice_counts_once if {
	count(approvals.require) == 1 with input as approved_by(["bo@example.org", "bo@example.org"]) with data.countersign.settings as two
}

test_who_made_it_does_not_count if {
	every person in ["ann@example.org", "Ann@Example.org"] {
		count(approvals.require) == 1 with input as approved_by(["bo@example.org", person]) with data.countersign.settings as two
	}
}

test_an_unverified_approval_does_not_count if {
	claimed := object.union(approved_by([]), {"approvals": [
		{"principal": "bo@example.org", "via": "forge", "time": "", "verified": false},
		{"principal": "cy@example.org", "via": "forge", "time": "", "verified": false},
	]})
	count(approvals.require) == 1 with input as claimed with data.countersign.settings as two
}

test_one_person_under_two_names_counts_once if {
	joined := object.union(approved_by([]), {"approvals": [
	{"principal": name, "person": "bo@example.org", "via": "git", "time": "", "verified": true} |
		some name in ["bo@example.org", "bo@home.example.org"]
	]})
	count(approvals.require) == 1 with input as joined with data.countersign.settings as two
}

test_who_made_it_does_not_count_under_another_name if {
	signature := {"kind": "ssh", "status": "verified", "principal": "ann@example.org", "person": "ann"}
	joined := object.union(examples.many([]), {
		"commits": [examples.commit_with({"signature": signature})],
		"approvals": [
			{"principal": "ann@home.example.org", "person": "ann", "via": "git", "time": "", "verified": true},
			{"principal": "bo@example.org", "via": "git", "time": "", "verified": true},
		],
	})
	count(approvals.require) == 1 with input as joined with data.countersign.settings as two
}

test_only_signed_approvals_count_where_that_is_asked_for if {
	strict := {"approvals": 1, "approvals_signed": true}
	vouched := object.union(examples.many([]), {"approvals": [{"principal": "bo@example.org", "via": "forge", "strength": "vouched", "time": "", "verified": true}]})
	signed := object.union(examples.many([]), {"approvals": [{"principal": "bo@example.org", "via": "git", "strength": "signed", "time": "", "verified": true}]})
	count(approvals.require) == 1 with input as vouched with data.countersign.settings as strict
	count(approvals.require) == 0 with input as signed with data.countersign.settings as strict
	count(approvals.require) == 0 with input as vouched with data.countersign.settings as {"approvals": 1}
}
