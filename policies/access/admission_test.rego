package countersign.access.admission_test

import data.countersign.access.admission
import data.countersign.lib.examples

denied(change) := n if {
	results := admission.deny with input as examples.one(change)
	n := count(results)
}

webhooks(hooks) := {
	"apiVersion": "admissionregistration.k8s.io/v1",
	"kind": "ValidatingWebhookConfiguration",
	"metadata": {"name": "policy"},
	"webhooks": hooks,
}

policy(failure) := {
	"apiVersion": "admissionregistration.k8s.io/v1",
	"kind": "ValidatingAdmissionPolicy",
	"metadata": {"name": "policy"},
	"spec": {"failurePolicy": failure},
}

namespace(labels) := {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}}

level(name) := {"pod-security.kubernetes.io/enforce": name}

test_new_and_stricter_guards_pass if {
	denied(examples.create(webhooks([{"name": "a", "failurePolicy": "Ignore"}]))) == 0
	denied(examples.update(webhooks([{"name": "a", "failurePolicy": "Ignore"}]), webhooks([{"name": "a", "failurePolicy": "Fail"}, {"name": "b"}]))) == 0
	denied(examples.update(policy("Fail"), policy("Fail"))) == 0
}

test_weaker_guards_are_denied if {
	denied(examples.delete(webhooks([]))) == 1
	denied(examples.delete(policy("Fail"))) == 1
	denied(examples.update(webhooks([{"name": "a"}]), webhooks([{"name": "a", "failurePolicy": "Ignore"}]))) == 1
	denied(examples.update(webhooks([{"name": "a"}, {"name": "b"}]), webhooks([{"name": "a"}]))) == 1
	denied(examples.update(policy("Fail"), policy("Ignore"))) == 1
}

test_a_renamed_hook_is_one_less if {
	denied(examples.update(webhooks([{"name": "a"}]), webhooks([{"name": "b", "failurePolicy": "Ignore"}]))) == 1
}

test_a_namespace_keeps_its_level if {
	denied(examples.create(namespace(level("baseline")))) == 0
	denied(examples.update(namespace(level("baseline")), namespace(level("restricted")))) == 0
	every weaker in [level("baseline"), level("privileged"), level("Restricted"), {}] {
		denied(examples.update(namespace(level("restricted")), namespace(weaker))) == 1
	}
}

test_a_new_namespace_has_a_level if {
	every labels in [{}, level("privileged"), level("nonsense")] {
		every one in examples.also_listed(namespace(labels)) {
			denied(examples.create(one)) == 1
		}
	}
	denied(examples.update(namespace({}), namespace({}))) == 0
}
