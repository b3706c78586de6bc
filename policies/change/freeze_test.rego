package countersign.change.freeze_test

import data.countersign.change.freeze
import data.countersign.lib.examples

# 2 March 2026 is a Monday.
frozen(time, entry) := n if {
	the_input := object.union(examples.many([]), {"time": time})
	results := freeze.deny with input as the_input with data.countersign.settings as {"freezes": [entry]}
	n := count(results)
}

holidays := {"from": "2026-12-20T00:00:00Z", "until": "2027-01-04T00:00:00Z", "reason": "holidays"}

test_between_two_times if {
	frozen("2026-12-19T23:59:59Z", holidays) == 0
	frozen("2026-12-20T00:00:00Z", holidays) == 1
	frozen("2027-01-03T23:59:59.9Z", holidays) == 1
	frozen("2027-01-04T00:00:00Z", holidays) == 0
}

test_on_days_of_the_week if {
	entry := {"days": ["Fri", "saturday", "SUN"]}
	frozen("2026-03-02T12:00:00Z", entry) == 0
	frozen("2026-03-06T12:00:00Z", entry) == 1
	frozen("2026-03-01T12:00:00Z", entry) == 1
}

test_at_hours_also_over_midnight_and_in_a_zone if {
	frozen("2026-03-02T12:00:00Z", {"hours": "18:00-06:00"}) == 0
	frozen("2026-03-02T23:00:00Z", {"hours": "18:00-06:00"}) == 1
	frozen("2026-03-02T05:00:00Z", {"hours": "18:00-06:00"}) == 1
	frozen("2026-03-02T17:30:00Z", {"hours": "18:00-19:00", "zone": "Europe/Berlin"}) == 1
	frozen("2026-03-02T17:30:00Z", {"hours": "18:00-19:00"}) == 0
	frozen("2026-03-02T19:00:00Z", {"hours": "18:00-19:00"}) == 0
}

test_only_where_it_says if {
	frozen("2026-12-24T00:00:00Z", object.union(holidays, {"environments": ["shop/staging"]})) == 0
	frozen("2026-12-24T00:00:00Z", object.union(holidays, {"environments": ["*/production"]})) == 1
}

test_what_cannot_be_read_freezes if {
	every entry in [{}, {"from": "tomorrow"}, {"days": ["Frühstück"]}, {"hours": "noon"}, {"days": ["Fri"], "hours": "99"}] {
		frozen("2026-03-06T12:00:00Z", entry) == 1
	}
}

test_governance_stays_open_and_emergencies_pass if {
	settings := {"freezes": [{}], "break_glass": {"people": ["ann@example.org"]}}
	governance := object.union(examples.many([]), {"environment": {"name": "governance"}})
	count(freeze.deny) == 0 with input as governance with data.countersign.settings as settings
	emergency := object.union(examples.many([]), {"operation": "break_glass", "reason": "fire", "ticket": "INC-1"})
	count(freeze.deny) == 0 with input as emergency with data.countersign.settings as settings
}
