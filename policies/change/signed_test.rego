package countersign.change.signed_test

import data.countersign.change.signed
import data.countersign.lib.examples

test_a_commit_with_a_verified_signature_passes if {
	count(signed.deny) == 0 with input as examples.with_commits([examples.commit])
}

test_an_unsigned_commit_is_denied if {
	results := signed.deny with input as examples.with_commits([examples.commit, examples.commit_with(examples.unsigned)])
	count(results) == 1
	some result in results
	result.msg == `commit 8be0d41 "tune cache" is not signed`
	result.commit == examples.commit.id
	contains(result.fix, "git commit --amend -S")
}

test_one_unsigned_commit_among_signed_ones_is_enough if {
	commits := [examples.commit, examples.commit_with(object.union(examples.unsigned, {"id": "aaaaaaaa"})), examples.commit]
	count(signed.deny) == 1 with input as examples.with_commits(commits)
}

# A signature that merely exists, by a key that anybody can make, says nothing.
test_a_signature_that_nobody_vouches_for_is_denied if {
	every status in ["unknown_key", "expired", "revoked", "unverified", "Verified", "VERIFIED", ""] {
		commit := examples.commit_with({"signature": {"kind": "ssh", "status": status, "principal": "ann@example.org"}})
		count(signed.deny) == 1 with input as examples.with_commits([commit])
	}
}

test_a_merge_commit_needs_a_signature_too if {
	merge := examples.commit_with(object.union(examples.unsigned, {"parents": ["a", "b"], "files": []}))
	count(signed.deny) == 1 with input as examples.with_commits([merge])
}
