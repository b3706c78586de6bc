# METADATA
# title: Four eyes
package countersign.change.approvals

import data.countersign.lib.break_glass
import data.countersign.lib.settings

# METADATA
# title: A change is approved by people who did not make it
# description: |-
#   settings.approvals says by how many; without it none are needed. Only verified approvals count, each person once, and
#   nobody who signed, wrote or committed any of the change (invariant 5). With settings.approvals_signed only those count that the
#   approver's own key has signed, and no review on a forge.
# custom:
#   id: approvals.required
#   bad: "0 of 1 approvals"
#   good: "countersign approve shop/production"
#   severity: high
#   scope: change
#   controls: ["SOC2:CC8.1", "ISO27001:A.5.3", "PCI-DSS:6.5.1", "NIST-800-53:CM-3"]
require contains result if {
	settings.approvals > count(approvers)
	not break_glass.allowed
	result := {
		"msg": sprintf("%d of %d approvals are there", [count(approvers), settings.approvals]),
		"fix": "Ask somebody who made none of these commits to approve",
	}
}

# One person may have several principals: whoever they stand for is counted.
approvers contains object.get(approval, "person", approval.principal) if some approval in counted

counted contains approval if {
	some approval in input.approvals
	approval.verified
	strong_enough(approval)
	not lower(approval.principal) in makers
	not lower(object.get(approval, "person", "")) in makers
}

strong_enough(_) if not settings.approvals_signed

strong_enough(approval) if approval.strength == "signed"

makers contains lower(commit.signature.principal) if some commit in input.commits

makers contains lower(commit.signature.person) if some commit in input.commits

makers contains lower(commit.author.email) if some commit in input.commits

makers contains lower(commit.committer.email) if some commit in input.commits

makers contains lower(input.push.pusher)
