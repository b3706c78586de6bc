package countersign.change.discipline_test

import data.countersign.change.discipline
import data.countersign.lib.examples

told(the_input, settings) := n if {
	denied := discipline.deny with input as the_input with data.countersign.settings as settings
	required := discipline.require with input as the_input with data.countersign.settings as settings
	n := count(denied) + count(required)
}

saying(message) := examples.with_commits([examples.commit_with({"message": message})])

test_an_ordinary_change_passes_without_settings if told(examples.many([]), {}) == 0

test_settings_that_cannot_be_read_are_denied if {
	every settings in [
		{"registries": "registry.example.org"}, {"max_deletions": "many"}, {"ticket": "("}, {"kubernetes": 1.34}, {"protected": {}},
		{"break_glass": []}, {"production": null}, {"labels": "team"},
	] {
		told(examples.many([]), settings) == 1
	}
	told(examples.many([]), {"registries": [], "max_deletions": 3, "kubernetes": "1.34", "somebody_elses": 1}) == 0
}

ticket := {"ticket": `\bSHOP-[0-9]+\b`}

test_a_ticket_is_asked_for_in_production if {
	told(saying("tune cache\n\nTicket: SHOP-17\n"), ticket) == 0
	told(saying("tune cache SHOP-\n"), ticket) == 1
	told(examples.with_commits([examples.commit_with({"parents": ["a", "b"]})]), ticket) == 0
	told(object.union(saying("x"), {"environment": {"name": "shop/staging"}}), ticket) == 0
}

test_one_commit_among_others_needs_it_too if {
	commits := [examples.commit_with({"message": "a SHOP-1"}), examples.commit_with({"id": "0", "message": "b"})]
	told(examples.with_commits(commits), ticket) == 1
}

test_first_lines_are_as_agreed if {
	settings := {"message": `^[a-z]+: .{3,}`}
	told(saying("cart: ask once\n"), settings) == 0
	told(saying("Revert \"cart: ask once\"\n\nIt forgot prices.\n"), settings) == 0
	told(saying("wip\n\ncart: ask once"), settings) == 1
}

test_reverts_say_why if {
	told(saying("Revert \"tune\"\n\nIt made the cart forget prices.\n\nThis reverts commit 8be0d41.\n"), {}) == 0
	every body in ["", "\n\nThis reverts commit 8be0d41.\n", "\n\nThis reverts commit 8be0d41.\n\nSigned-off-by: Ann <a@x>\n", "\n\n...\n"] {
		told(saying(concat("", ["Revert \"tune\"", body])), {}) == 1
	}
}

test_other_operations_give_a_reason if {
	rollback := object.union(examples.many([]), {"operation": "rollback"})
	told(object.union(rollback, {"reason": "prices are wrong"}), {}) == 0
	told(rollback, {}) == 1
	told(object.union(rollback, {"reason": "  "}), {}) == 1
}

test_force_is_denied_in_production if {
	forced := object.union(examples.many([]), {"push": {"forced": true}})
	told(forced, {}) == 1
	told(object.union(forced, {"environment": {"name": "shop/staging"}}), {}) == 0
}

test_one_change_does_not_change_much if {
	change := examples.create(examples.deployment(examples.pod))
	told(examples.many([change, change]), {"max_changes": 2}) == 0
	told(examples.many([change, change, change]), {"max_changes": 2}) == 1
}

with_checks(list) := object.union(examples.many([]), {"checks": list})

test_checks_have_passed if {
	settings := {"checks": ["tests", "staging"]}
	told(with_checks([{"name": "tests", "result": "success"}, {"name": "staging", "result": "success"}]), settings) == 0
	told(with_checks([{"name": "tests", "result": "success"}, {"name": "staging", "result": "failure"}]), settings) == 1
	told(with_checks([]), settings) == 2
}
