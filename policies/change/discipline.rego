# METADATA
# title: A change can be followed back to why it was made
# custom:
#   scope: change
#   severity: medium
#   controls: ["SOC2:CC8.1", "ISO27001:A.8.32", "NIST-800-53:CM-3", "PCI-DSS:6.5.1"]
package countersign.change.discipline

import data.countersign.lib.break_glass
import data.countersign.lib.environment
import data.countersign.lib.settings

ordinary := [commit |
	some commit in input.commits
	count(commit.parents) < 2
]

subject(commit) := split(commit.message, "\n")[0]

short(commit) := substring(commit.id, 0, 7)

# METADATA
# title: Settings are what rules can read
# description: A setting of the wrong type would switch a rule off without a word.
# custom:
#   id: settings.readable
#   severity: critical
#   controls: ["SOC2:CC8.1", "ISO27001:A.8.9", "NIST-800-53:CM-6"]
#   bad: "starter: {data: {labels: team}}"
#   good: "starter: {data: {labels: [team]}}"
deny contains result if {
	some [name, type] in settings.unreadable
	result := {
		"msg": sprintf("the setting %s is no %s", [name, type]),
		"path": "countersign.yaml",
		"fix": "Correct policies.starter.data in countersign.yaml: see docs/rules.md",
	}
}

# METADATA
# title: Every commit to production names a ticket
# description: |-
#   settings.ticket is a regular expression of what one looks like. It may stand anywhere in the message; merges need none. Without the
#   setting the rule is silent.
# custom:
#   id: commits.ticket
#   bad: "git commit -m 'tune cache'"
#   good: "git commit -m 'tune cache' -m 'Ticket: SHOP-17'"
deny contains result if {
	environment.production
	some commit in ordinary
	not regex.match(settings.ticket, commit.message)
	result := {
		"msg": sprintf(`commit %s "%s" names no ticket`, [short(commit), subject(commit)]),
		"commit": commit.id,
		"fix": "Add a trailer: git commit --amend --trailer 'Ticket: …'",
	}
}

# METADATA
# title: First lines of commits are as was agreed on
# description: settings.message is a regular expression for them; merges and reverts that Git words itself are left out. Without the setting the rule is silent.
# custom:
#   id: commits.message
#   severity: low
#   bad: "wip"
#   good: "cart: ask for prices once"
deny contains result if {
	some commit in ordinary
	not startswith(commit.message, "Revert \"")
	not regex.match(settings.message, subject(commit))
	result := {
		"msg": sprintf(`commit %s "%s" does not begin as was agreed on: %s`, [short(commit), subject(commit), settings.message]),
		"commit": commit.id,
		"fix": "git commit --amend, or git rebase --interactive for one before the last",
	}
}

# METADATA
# title: Reverts say why
# description: What was wrong with a change is known when it is taken back, and seldom later.
# custom:
#   id: commits.revert-reason
#   profile: strict
#   severity: low
#   controls: ["SOC2:CC7.4", "SOC2:CC8.1", "ISO27001:A.8.32", "NIST-800-53:CM-3"]
#   bad: "Revert \"tune cache\"   This reverts commit 8be0d41."
#   good: "Revert \"tune cache\"   It made the cart forget prices. This reverts commit 8be0d41."
deny contains result if {
	some commit in input.commits
	startswith(commit.message, "Revert \"")
	not explained(commit)
	result := {
		"msg": sprintf(`commit %s "%s" does not say why`, [short(commit), subject(commit)]),
		"commit": commit.id,
		"fix": "Say in the message what was wrong: git commit --amend",
	}
}

# By a line of the body that Git did not write itself, and that is no trailer.
explained(commit) if {
	lines := split(commit.message, "\n")
	some line in array.slice(lines, 1, count(lines))
	regex.match(`[A-Za-z]{2}`, line)
	not startswith(line, "This reverts commit ")
	not startswith(line, "changes made to ")
	not regex.match(`^[A-Za-z-]+: `, line)
}

# METADATA
# title: Whatever is no push says why
# description: A rollback, a promotion or an adoption was somebody's wish; its reason is in the log with it.
# custom:
#   id: operation.reason
#   profile: strict
#   bad: "countersign rollback shop/production"
#   good: "countersign rollback shop/production --reason 'prices are wrong since 8be0d41'"
deny contains result if {
	not input.operation in {"push", "break_glass"}
	trim_space(object.get(input, "reason", "")) == ""
	result := {"msg": sprintf("a %v without a reason", [input.operation]), "fix": "Ask for it again and give a reason"}
}

# METADATA
# title: History of production is not rewritten
# description: A forced push takes commits away that were looked at.
# custom:
#   id: push.forced
#   profile: strict
#   severity: high
#   controls: ["SOC2:CC8.1", "ISO27001:A.8.4", "NIST-800-53:CM-5", "NIST-800-53:AU-10"]
#   bad: "git push --force"
#   good: "git revert 8be0d41 && git push"
deny contains result if {
	environment.production
	input.push.forced == true
	result := {
		"msg": sprintf("%s was pushed with force", [input.push.ref]),
		"fix": "Push the commits that were there, and revert what is wrong with them",
	}
}

# METADATA
# title: One change does not change much
# description: settings.max_changes is how many objects one may create, update and delete together. Without it the rule is silent.
# custom:
#   id: change.size
#   controls: ["SOC2:CC8.1", "ISO27001:A.8.32", "NIST-800-53:CM-4"]
#   bad: "400 objects in one push"
#   good: "one service at a time"
deny contains result if {
	changed := count(input.changes)
	changed > settings.max_changes
	result := {
		"msg": sprintf("%d objects would change at once, more than %d", [changed, settings.max_changes]),
		"fix": "Make several changes of it, or raise settings.max_changes",
	}
}

# METADATA
# title: Checks have passed
# description: settings.checks names results (of CI, of staging) that a change to production needs. Without it the rule is silent.
# custom:
#   id: checks.passed
#   controls: ["SOC2:CC8.1", "ISO27001:A.8.29", "NIST-800-53:CM-3(2)", "PCI-DSS:6.5.1"]
#   bad: "checks: []"
#   good: "checks: [{name: tests, result: success}]"
require contains result if {
	environment.production
	not break_glass.allowed
	some name in settings.checks
	not name in [check.name | some check in input.checks; check.result == "success"]
	result := {"msg": sprintf("the check %s has not passed", [name]), "fix": "Wait for it, or mend what it found"}
}
