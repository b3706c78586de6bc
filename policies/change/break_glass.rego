# METADATA
# title: Emergency changes
package countersign.change.break_glass

import data.countersign.lib.break_glass

# METADATA
# title: The glass is broken by named people only
# description: |-
#   settings.break_glass names people and groups who may do without approvals in an emergency: the head commit, signed by one of them,
#   says why in the trailer Break-Glass and names a ticket in the trailer Ticket. Somebody else looks at it afterwards.
# custom:
#   id: break-glass.named
#   bad: "Break-Glass: by somebody whom settings.break_glass does not name"
#   good: "Break-Glass: cart answers 500, and Ticket: INC-7, by one who is"
#   severity: critical
#   scope: change
#   controls: ["SOC2:CC8.1", "ISO27001:A.8.32", "PCI-DSS:6.5.1", "NIST-800-53:CM-3"]
deny contains result if {
	break_glass.asked
	not break_glass.allowed
	result := {
		"msg": sprintf("an emergency is claimed, and %s", [missing]),
		"commit": input.head,
		"fix": "Take the trailer Break-Glass out and let somebody approve, or add what is missing",
	}
}

missing := "governance is never changed that way" if input.environment.name == "governance"

missing := "whoever signed the head commit is not named in settings.break_glass" if {
	input.environment.name != "governance"
	not break_glass.named
}

missing := "it has no reason, or no trailer Ticket" if {
	input.environment.name != "governance"
	break_glass.named
}
