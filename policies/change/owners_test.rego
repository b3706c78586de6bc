package countersign.change.owners_test

import data.countersign.change.owners
import data.countersign.lib.examples

asked := {
	"pattern": "/apps/",
	"line": 3,
	"section": "",
	"approvals": 1,
	"owners": ["@payments"],
	"people": ["ann@example.org", "bo@example.org", "cy@example.org"],
	"files": 2,
	"paths": ["apps/a.yaml", "apps/b.yaml"],
}

change(list, people) := object.union(examples.many([]), {
	"owners": list,
	"approvals": [{"principal": person, "person": person, "via": "git", "time": "", "verified": true} | some person in people],
})

missing(the_input) := number if number := count(owners.require) with input as the_input

test_without_an_owners_file_nothing_is_asked if missing(examples.many([])) == 0

test_one_owner_is_enough if missing(change([asked], ["bo@example.org"])) == 0

test_somebody_else_is_not if missing(change([asked], ["dee@example.org"])) == 1

test_an_owner_who_made_the_change_does_not_count if missing(change([asked], ["ann@example.org"])) == 1

test_each_section_asks_for_itself if {
	two := object.union(asked, {"approvals": 2, "line": 9})
	missing(change([asked, two], ["bo@example.org"])) == 1
	missing(change([asked, two], ["bo@example.org", "cy@example.org"])) == 0
}

test_who_is_missing_is_told if {
	results := owners.require with input as change([asked], [])
	some result in results
	result.msg == "0 of 1 approvals by owners of apps/a.yaml and 1 more files are there"
	contains(result.fix, "bo@example.org")
}
