# METADATA
# title: Commits are signed by somebody known
# description: The text of author and committer proves nothing; a verified signature does.
package countersign.change.signed

# METADATA
# title: Every commit has a verified signature
# description: The key must be in .countersign/allowed_signers, valid when the commit was first seen, and not revoked.
# custom:
#   id: commits.signed
#   bad: "git commit"
#   good: "git commit -S"
#   severity: high
#   scope: change
#   controls: ["SOC2:CC6.1", "SOC2:CC8.1", "ISO27001:A.8.32", "NIST-800-53:CM-5"]
deny contains result if {
	some commit in input.commits
	commit.signature.status != "verified"
	result := {
		"msg": sprintf(`commit %s "%s" %s`, [substring(commit.id, 0, 7), subject(commit), trouble(commit.signature)]),
		"commit": commit.id,
		"fix": fix(commit.signature.status),
	}
}

subject(commit) := split(commit.message, "\n")[0]

trouble(signature) := "is not signed" if signature.status == "none"

trouble(signature) := "is signed with a key that nobody here is known by" if signature.status == "unknown_key"

trouble(signature) := "is signed with a key that was not valid any more" if signature.status == "expired"

trouble(signature) := "is signed with a key that was revoked" if signature.status == "revoked"

trouble(signature) := text if {
	not signature.status in {"none", "unknown_key", "expired", "revoked"}
	text := sprintf("has a signature that could not be verified: %s", [object.get(signature, "reason", signature.status)])
}

fix("none") := "git commit --amend -S (your key must be in .countersign/allowed_signers)"

fix("unknown_key") := "Have the key added to .countersign/allowed_signers, or sign with one that is there"

fix(status) := "Sign the commit again with a valid key: git commit --amend -S" if not status in {"none", "unknown_key"}
