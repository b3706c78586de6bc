# METADATA
# title: What guards the cluster stays on guard
# custom:
#   scope: object
#   severity: high
#   controls: ["SOC2:CC7.1", "ISO27001:A.8.9", "NIST-800-53:CM-5", "NIST-800-53:CM-6", "PCI-DSS:2.2.6"]
package countersign.access.admission

import data.countersign.lib.objects

guards := {
	"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
	"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
}

# METADATA
# title: Admission control is not taken away
# description: Deleted, or told to let everything through when it does not answer.
# custom:
#   id: admission.weakened
#   bad: "webhooks: [{name: policy.example.org, failurePolicy: Ignore}]   # was Fail"
#   good: "webhooks: [{name: policy.example.org, failurePolicy: Fail}]"
deny contains result if {
	some change in input.changes
	change.object.kind in guards
	startswith(change.object.apiVersion, "admissionregistration.k8s.io/")
	some problem in weakening(change)
	result := {
		"msg": sprintf(`%s "%s" %s`, [change.object.kind, change.object.name, problem]),
		"fix": "Leave it as it was; if it is meant, ask for an exception that names this object",
	}
}

weakening(change) := array.concat(
	["would be deleted" | change.op == "delete"],
	array.concat(
		[sprintf("would not be asked for %s any more", [hook.name]) |
			change.op == "update"
			some hook in change.before.webhooks
			not hook.name in [after.name | some after in change.after.webhooks]
		],
		[sprintf("would let everything through when %s does not answer", [object.get(hook, "name", "it")]) |
			change.op == "update"
			some [before, hook] in failing(change)
			hook.failurePolicy == "Ignore"
			object.get(before, "failurePolicy", "Fail") == "Fail"
		],
	),
)

# What says what happens without an answer, before and after: webhooks by name, and the spec of a policy.
failing(change) := array.concat(
	[[before, hook] |
		some hook in change.after.webhooks
		some before in change.before.webhooks
		before.name == hook.name
	],
	[[change.before.spec, change.after.spec] | is_object(change.before.spec)],
)

# METADATA
# title: The Pod Security level of a namespace is not lowered
# description: The label is what Kubernetes itself enforces.
# custom:
#   id: namespace.pod-security-lowered
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.9", "NIST-800-53:AC-6", "NIST-800-53:CM-6", "PCI-DSS:2.2.6"]
#   bad: "pod-security.kubernetes.io/enforce: privileged   # was restricted"
#   good: "pod-security.kubernetes.io/enforce: restricted"
deny contains result if {
	some [after, before] in objects.written
	after.kind == "Namespace"
	was := level(before)
	level(after) < was
	result := {
		"msg": sprintf("%s enforces less Pod Security than before", [objects.name(after)]),
		"fix": "Put the label pod-security.kubernetes.io/enforce back",
	}
}

level(namespace) := rank if {
	rank := {"restricted": 2, "baseline": 1}[namespace.metadata.labels["pod-security.kubernetes.io/enforce"]]
} else := 0

# METADATA
# title: A new namespace enforces a Pod Security level
# description: Without the label, everything may run in it.
# custom:
#   id: namespace.pod-security
#   profile: strict
#   severity: medium
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.9", "NIST-800-53:AC-6", "NIST-800-53:CM-6", "PCI-DSS:2.2.1"]
#   bad: "kind: Namespace, metadata: {name: shop}"
#   good: "metadata: {name: shop, labels: {pod-security.kubernetes.io/enforce: restricted}}"
deny contains result if {
	some [after, before] in objects.written
	after.kind == "Namespace"
	after.apiVersion == "v1"
	before == {}
	level(after) == 0
	result := {
		"msg": sprintf("%s enforces no Pod Security level", [objects.name(after)]),
		"fix": "Label it pod-security.kubernetes.io/enforce: restricted (or baseline)",
	}
}
