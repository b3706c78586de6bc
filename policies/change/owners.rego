# METADATA
# title: Owners
package countersign.change.owners

import data.countersign.change.approvals
import data.countersign.lib.break_glass

# METADATA
# title: Owners approve what is theirs
# description: |-
#   .countersign/owners says who owns which paths, in the syntax of CODEOWNERS; each line that decides about a changed file asks for the
#   approval of as many owners as its section says, none of whom made the change. Without that file the rule is silent.
# custom:
#   id: approvals.owners
#   bad: "no owner of apps/cart has approved"
#   good: "countersign approve shop/production, by one of them"
#   severity: high
#   scope: change
#   controls: ["SOC2:CC8.1", "ISO27001:A.5.3", "PCI-DSS:6.5.1", "NIST-800-53:CM-3"]
require contains result if {
	some asked in input.owners
	not break_glass.allowed
	there := approvers & {person | some person in asked.people}
	count(there) < asked.approvals
	result := {
		"msg": sprintf("%d of %d approvals by owners of %s are there", [count(there), asked.approvals, files(asked)]),
		"path": ".countersign/owners",
		"line": asked.line,
		"fix": sprintf("Ask one of %s to approve", [concat(", ", missing(asked))]),
		"owners": asked.owners,
	}
}

# By principal or by person: an owners file may name either.
approvers contains name if {
	some approval in approvals.counted
	some name in {lower(approval.principal), lower(object.get(approval, "person", approval.principal))}
}

missing(asked) := {person | some person in asked.people; not person in approvers} if count(asked.people) > 0

missing(asked) := {owner | some owner in asked.owners} if count(asked.people) == 0

files(asked) := asked.paths[0] if asked.files == 1

files(asked) := sprintf("%s and %d more files", [asked.paths[0], asked.files - 1]) if asked.files > 1
