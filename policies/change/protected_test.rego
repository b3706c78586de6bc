package countersign.change.protected_test

import data.countersign.change.protected
import data.countersign.lib.examples

owned := {"protected": [{"paths": ["policies/**", "countersign.yaml"], "owners": ["sec@example.org"]}]}

touching(path, op, mode) := {"files": [{"path": path, "op": op, "mode": mode}]}

by(principal) := {"signature": {"kind": "ssh", "status": "verified", "principal": principal}}

test_a_change_elsewhere_passes if {
	count(protected.deny) == 0 with input as examples.with_commits([examples.commit])
}

test_an_owner_may if {
	commit := examples.commit_with(object.union(touching("policies/x.rego", "modify", "100644"), by("sec@example.org")))
	count(protected.deny) == 0 with input as examples.with_commits([commit]) with data.countersign.settings as owned
}

test_anybody_else_may_not if {
	commit := examples.commit_with(touching("policies/x.rego", "modify", "100644"))
	results := protected.deny with input as examples.with_commits([commit]) with data.countersign.settings as owned
	count(results) == 1
	some result in results
	result.path == "policies/x.rego"
	contains(result.fix, "sec@example.org")
}

test_without_settings_a_verified_signer_may_and_nobody_else if {
	commit := examples.commit_with(touching(".countersign/allowed_signers", "modify", "100644"))
	count(protected.deny) == 0 with input as examples.with_commits([commit])
	unsigned := object.union(commit, examples.unsigned)
	count(protected.deny) == 1 with input as examples.with_commits([unsigned])
}

# Moving a folder away and putting a link or a submodule in its place changes what is in it.
test_replacing_the_folder_itself_is_denied if {
	every mode in ["120000", "160000"] {
		commit := examples.commit_with(touching("policies", "add", mode))
		count(protected.deny) == 1 with input as examples.with_commits([commit]) with data.countersign.settings as owned
	}
}

test_deleting_and_changing_the_mode_is_denied if {
	every file in [["delete", "100644"], ["modify", "100755"]] {
		commit := examples.commit_with(touching("policies/deep/er/x.rego", file[0], file[1]))
		count(protected.deny) == 1 with input as examples.with_commits([commit]) with data.countersign.settings as owned
	}
}

# Changed in one commit and changed back in the next: the net effect is nothing, the commits are still there.
test_a_commit_between_is_seen if {
	commits := [examples.commit_with(touching("countersign.yaml", "modify", "100644")), examples.commit]
	count(protected.deny) == 1 with input as examples.with_commits(commits) with data.countersign.settings as owned
}

# The author's text is a claim; only the signer's principal is compared.
test_claiming_to_be_an_owner_is_not_enough if {
	commit := examples.commit_with(object.union(
		touching("policies/x.rego", "modify", "100644"),
		{"author": {"name": "Sec", "email": "sec@example.org", "time": ""}, "signature": {"kind": "none", "status": "none", "principal": "sec@example.org"}},
	))
	count(protected.deny) == 1 with input as examples.with_commits([commit]) with data.countersign.settings as owned
}
