# METADATA
# title: Some paths belong to somebody
# description: Rules, signers and pipelines decide about everything else; only their owners change them.
package countersign.change.protected

import data.countersign.lib.settings

# METADATA
# title: Protected paths are changed by their owners only
# description: |-
#   settings.protected lists paths with the principals who own them; without owners, any verified signer may. A folder
#   that is replaced by a link or a submodule counts as changed, too.
# custom:
#   id: paths.protected
#   bad: "somebody who is no owner changes policies/"
#   good: "an owner does, signed"
#   severity: critical
#   scope: change
#   controls: ["SOC2:CC6.1", "SOC2:CC8.1", "ISO27001:A.8.4", "NIST-800-53:CM-5", "PCI-DSS:6.5.1"]
deny contains result if {
	some commit in input.commits
	some file in commit.files
	some entry in settings.protected
	some pattern in entry.paths
	matches(pattern, file.path)
	not allowed(commit.signature, object.get(entry, "owners", []))
	result := {
		"msg": sprintf("%s is protected, and commit %s was made by %s", [file.path, substring(commit.id, 0, 7), maker(commit)]),
		"commit": commit.id,
		"path": file.path,
		"fix": owners_text(object.get(entry, "owners", [])),
	}
}

matches(pattern, path) if glob.match(pattern, ["/"], path)

matches(pattern, path) if {
	endswith(pattern, "/**")
	folder := trim_suffix(pattern, "/**")
	glob.match(folder, ["/"], path)
}

allowed(signature, []) if signature.status == "verified"

allowed(signature, owners) if {
	signature.status == "verified"
	signature.principal in owners
}

maker(commit) := commit.signature.principal if commit.signature.status == "verified"

maker(commit) := "somebody without a verified signature" if commit.signature.status != "verified"

owners_text([]) := "Let somebody in .countersign/allowed_signers make and sign this commit"

owners_text(owners) := sprintf("Let an owner make and sign this commit: %s", [concat(", ", owners)]) if count(owners) > 0
