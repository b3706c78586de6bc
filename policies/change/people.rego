# METADATA
# title: Who made it, and who else looked
# custom:
#   scope: change
#   profile: strict
#   severity: high
#   controls: ["SOC2:CC8.1", "ISO27001:A.5.3", "NIST-800-53:AC-5", "PCI-DSS:6.5.1"]
package countersign.change.people

import data.countersign.change.approvals
import data.countersign.lib.break_glass
import data.countersign.lib.environment

short(commit) := substring(commit.id, 0, 7)

# METADATA
# title: Somebody else approves what goes to production
# description: Four eyes, also where settings.approvals asks for none. Who signed, wrote, committed or pushed any of it does not count.
# custom:
#   id: approvals.production
#   bad: "Ann pushes to production what Ann has written"
#   good: "Bo approves it: countersign approve shop/production"
require contains result if {
	environment.production
	not break_glass.allowed
	count(approvals.approvers) == 0
	result := {"msg": "nobody but its makers has approved this change to production", "fix": "Ask somebody who made none of it to approve"}
}

# METADATA
# title: Somebody else approves what governs
# description: Rules, signers and settings decide about everything else; nobody changes them alone.
# custom:
#   id: governance.approved
#   severity: critical
#   controls: ["SOC2:CC6.1", "SOC2:CC8.1", "ISO27001:A.5.3", "NIST-800-53:AC-5", "NIST-800-53:CM-5"]
#   bad: "Ann switches a rule off and pushes"
#   good: "Bo approves it: countersign approve governance"
require contains result if {
	environment.governance
	count(approvals.approvers) == 0
	result := {"msg": "nobody but its makers has approved this change of governance", "fix": "Ask somebody who made none of it to approve"}
}

# METADATA
# title: Commits to production are signed by people
# description: A forge's own key says that somebody was logged in there. Merges made there are fine, as what they merge is signed.
# custom:
#   id: commits.forge-signed
#   controls: ["SOC2:CC6.1", "ISO27001:A.5.16", "NIST-800-53:AU-10", "PCI-DSS:8.2.1"]
#   bad: "a commit made in the forge's editor"
#   good: "git commit -S"
deny contains result if {
	environment.production
	some commit in input.commits
	commit.signature.forge == true
	count(commit.parents) < 2
	result := {
		"msg": sprintf("commit %s was signed by a forge, not by a person", [short(commit)]),
		"commit": commit.id,
		"fix": "Commit it with a key of one's own: git commit -S",
	}
}

# METADATA
# title: Who commits is who signs
# description: |-
#   Text of author and committer is a claim. Where the signer is named by an address, the committer's must be that, or the person's that the identity
#   map knows. Another author is fine: somebody else's work may be brought along.
# custom:
#   id: commits.committer
#   severity: medium
#   controls: ["SOC2:CC6.1", "ISO27001:A.5.16", "NIST-800-53:AU-10", "PCI-DSS:8.2.1"]
#   bad: "committer Bo <bo@example.org>, signed by ann@example.org"
#   good: "committer Ann <ann@example.org>, signed by ann@example.org"
deny contains result if {
	some commit in input.commits
	signature := commit.signature
	signature.status == "verified"
	not signature.forge
	contains(signature.principal, "@")
	not lower(commit.committer.email) in {lower(signature.principal), lower(object.get(signature, "person", signature.principal))}
	result := {
		"msg": sprintf("commit %s names %s as its committer, and was signed by %s", [short(commit), commit.committer.email, signature.principal]),
		"commit": commit.id,
		"fix": "git commit --amend --reset-author -S, or join the addresses in .countersign/identities.yaml",
	}
}

# METADATA
# title: A merge brings nothing of its own
# description: |-
#   Files that a merge changes and none of the merged commits does were put in by the merge itself, where reviewers do not look. Judged where the change
#   holds all that was merged.
# custom:
#   id: merges.clean
#   controls: ["SOC2:CC8.1", "ISO27001:A.8.4", "NIST-800-53:CM-5", "PCI-DSS:6.5.1"]
#   bad: "git merge --no-commit feature; edit something else; git commit"
#   good: "git merge feature"
deny contains result if {
	some commit in input.commits
	count(commit.parents) > 1
	every parent in array.slice(commit.parents, 1, count(commit.parents)) {
		parent in ids
	}
	from_base(commit.parents[0])
	some file in commit.files
	not file.path in touched
	result := {
		"msg": sprintf("merge %s changes %s, which nothing that it merges does", [short(commit), file.path]),
		"commit": commit.id,
		"path": file.path,
		"fix": "Make the change in a commit of its own",
	}
}

ids := {commit.id | some commit in input.commits}

graph_of := {commit.id: commit.parents | some commit in input.commits}

touched := {file.path |
	some commit in input.commits
	count(commit.parents) < 2
	some file in commit.files
}

from_base(_) if input.base == null

from_base(parent) if parent == input.base

from_base(parent) if input.base in graph.reachable(object.union(graph_of, {input.base: []}), {parent})

# METADATA
# title: No files that are keys
# description: By their names, wherever they lie. Deleting one is welcome, and the key is to be replaced all the same.
# custom:
#   id: files.keys
#   profile: baseline
#   severity: critical
#   controls: ["SOC2:CC6.1", "ISO27001:A.5.17", "NIST-800-53:IA-5(7)", "PCI-DSS:3.6.1", "PCI-DSS:8.6.2"]
#   bad: "git add id_ed25519"
#   good: "git rm --cached id_ed25519, and a new key"
deny contains result if {
	some commit in input.commits
	some file in commit.files
	file.op != "delete"
	regex.match(`(?i)(?:^|/)(?:id_(?:rsa|dsa|ecdsa|ed25519)(?:_sk)?|\.netrc|\.pgpass|\.git-credentials|[^/]+\.(?:p12|pfx|jks|keystore|kdbx|ppk))$`, file.path)
	result := {
		"msg": sprintf("commit %s brings %s, which looks like a key", [short(commit), file.path]),
		"commit": commit.id,
		"path": file.path,
		"fix": "Take it out of the history, and replace the key",
	}
}
