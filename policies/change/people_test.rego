package countersign.change.people_test

import data.countersign.change.people
import data.countersign.lib.examples

told(the_input) := n if {
	denied := people.deny with input as the_input
	required := people.require with input as the_input
	n := count(denied) + count(required)
}

approved := {"approvals": [{"principal": "bo@example.org", "via": "git", "time": "", "verified": true}]}

made_of(commits) := object.union(examples.with_commits(commits), approved)

test_an_approved_change_passes if told(made_of([examples.commit])) == 0

test_production_and_governance_need_somebody_else if {
	every name in ["shop/production", "governance"] {
		alone := object.union(examples.many([]), {"environment": {"name": name}})
		told(alone) == 1
		told(object.union(alone, {"approvals": [{"principal": "ann@example.org", "verified": true}]})) == 1
		told(object.union(alone, {"push": {"pusher": "bo@example.org"}, "approvals": approved.approvals})) == 1
		told(object.union(alone, approved)) == 0
	}
	told(object.union(examples.many([]), {"environment": {"name": "shop/staging"}})) == 0
}

forge := {"signature": {"kind": "openpgp", "status": "verified", "principal": "noreply@forge.example", "forge": true}}

test_a_forge_signs_merges_only if {
	told(made_of([examples.commit_with(forge)])) == 1
	merge := object.union(examples.commit_with(forge), {"parents": ["a", "b"]})
	told(made_of([merge])) == 0
}

test_the_committer_is_who_signed if {
	told(made_of([examples.commit_with({"committer": {"email": "eve@example.org"}})])) == 1
	told(made_of([examples.commit_with({"committer": {"email": "Ann@example.org"}, "author": {"email": "bob@example.org"}})])) == 0
	known := object.union(examples.commit.signature, {"person": "ann@home.example"})
	told(made_of([examples.commit_with({"signature": known, "committer": {"email": "ann@home.example"}})])) == 0
	named := object.union(examples.commit.signature, {"principal": "ann"})
	told(made_of([examples.commit_with({"signature": named})])) == 0
}

file(path) := {"path": path, "op": "modify", "mode": "100644"}

base := examples.around.base

feature := examples.commit_with({"id": "feature", "parents": ["old"], "files": [file("a"), file("b")]})

on_main := examples.commit_with({"id": "main", "parents": [base], "files": [file("c")]})

merge_of(parents, files) := examples.commit_with({"id": "merge", "parents": parents, "files": files})

test_a_clean_merge_passes if {
	told(made_of([feature, merge_of([base, "feature"], [file("a"), file("b")])])) == 0
	told(made_of([feature, on_main, merge_of(["main", "feature"], [file("a")])])) == 0
}

test_a_merge_that_brings_its_own_is_denied if {
	told(made_of([feature, merge_of([base, "feature"], [file("a"), file("evil")])])) == 1
	told(made_of([feature, on_main, merge_of(["main", "feature"], [file("evil")])])) == 1
}

# What was merged is not all here, or the first parent comes from before: it cannot be told.
test_a_merge_that_cannot_be_told_passes if {
	told(made_of([merge_of([base, "elsewhere"], [file("x")])])) == 0
	told(made_of([feature, on_main, merge_of(["feature", "main"], [file("c"), file("x")])])) == 0
}

test_keys_are_no_files if {
	every path in ["id_ed25519", "a/ID_RSA", "x/y/cert.p12", ".netrc", "k/.pgpass", "s.keystore"] {
		told(made_of([examples.commit_with({"files": [file(path)]})])) == 1
	}
	every path in ["id_ed25519.pub", "cert.pem", "docs/netrc.md", ".env"] {
		told(made_of([examples.commit_with({"files": [file(path)]})])) == 0
	}
	told(made_of([examples.commit_with({"files": [{"path": "id_rsa", "op": "delete", "mode": "100644"}]})])) == 0
}
