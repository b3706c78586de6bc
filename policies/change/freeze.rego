# METADATA
# title: Times when nothing changes
package countersign.change.freeze

import data.countersign.lib.break_glass
import data.countersign.lib.settings

# METADATA
# title: No changes while they are frozen
# description: |-
#   settings.freezes lists them: {from, until} as RFC 3339, or {days: [Fri, Sat], hours: "18:00-23:59", zone: Europe/Berlin}, each with a reason
#   and environments (globs; without, all but governance). Emergencies may pass. One that cannot be read freezes.
# custom:
#   id: change.freeze
#   severity: high
#   scope: change
#   controls: ["SOC2:CC8.1", "SOC2:A1.2", "ISO27001:A.8.32", "NIST-800-53:CM-3", "PCI-DSS:6.5.1"]
#   bad: "git push, on the last Friday before the holidays"
#   good: "git push, on Monday"
deny contains result if {
	not break_glass.allowed
	some freeze in settings.freezes
	concerns(freeze)
	not open(freeze)
	result := {
		"msg": sprintf("changes are frozen: %s", [object.get(freeze, "reason", "no reason is given")]),
		"fix": "Wait until it is over; in an emergency see docs/approvals.md",
	}
}

concerns(freeze) if {
	some pattern in freeze.environments
	glob.match(pattern, ["/"], input.environment.name)
}

concerns(freeze) if {
	not freeze.environments
	input.environment.name != "governance"
}

now := time.parse_rfc3339_ns(input.time)

# Open is what is proven to be: whatever cannot be read stays shut.
open(freeze) if now < time.parse_rfc3339_ns(freeze.from)

open(freeze) if now >= time.parse_rfc3339_ns(freeze.until)

open(freeze) if {
	days := {lower(substring(day, 0, 3)) | some day in freeze.days}
	count(days) > 0
	count(days - weekdays) == 0
	not lower(substring(time.weekday([now, zone(freeze)]), 0, 3)) in days
}

open(freeze) if {
	regex.match(`^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$`, freeze.hours)
	[from, until] := split(freeze.hours, "-")
	[hour, minute, _] := time.clock([now, zone(freeze)])
	at := sprintf("%02d:%02d", [hour, minute])
	outside(at, from, until)
}

outside(at, from, until) if {
	from <= until
	at < from
}

outside(at, from, until) if {
	from <= until
	at >= until
}

# Over midnight.
outside(at, from, until) if {
	from > until
	at < from
	at >= until
}

weekdays := {"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

zone(freeze) := object.get(freeze, "zone", "UTC")
