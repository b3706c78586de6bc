package countersign.access.reach_test

import data.countersign.access.rbac_test
import data.countersign.access.reach
import data.countersign.lib.examples

rule(resources, verbs) := {"apiGroups": ["", "certificates.k8s.io"], "resources": resources, "verbs": verbs}

denied(change) := n if {
	results := reach.deny with input as examples.one(change)
	n := count(results)
}

bound_to(subject) := rbac_test.binding("reader", [subject])

test_modest_access_passes if {
	denied(examples.create(rbac_test.role("Role", [rbac_test.modest]))) == 0
	denied(examples.create(bound_to(rbac_test.account))) == 0
}

test_each_new_reach_is_denied_also_in_a_list if {
	every manifest in [
		rbac_test.role("Role", [rule(["secrets"], ["list"])]),
		rbac_test.role("ClusterRole", [rule(["*"], ["*"])]),
		rbac_test.role("ClusterRole", [object.union(rule(["secrets"], ["get", "list"]), {"resourceNames": ["cart"]})]),
		rbac_test.role("ClusterRole", [rule(["pods/portforward"], ["create"])]),
		rbac_test.role("ClusterRole", [rule(["certificatesigningrequests/approval"], ["update"])]),
		bound_to({"kind": "Group", "name": "system:authenticated"}),
		bound_to({"kind": "Group", "name": "system:serviceaccounts:shop"}),
		bound_to({"kind": "ServiceAccount", "name": "default", "namespace": "shop"}),
		examples.thing("v1", "Secret", {"type": "kubernetes.io/service-account-token"}),
	] {
		every one in examples.also_listed(manifest) {
			denied(examples.create(one)) == 1
		}
	}
}

test_what_was_there_before_does_not_count if {
	every manifest in [
		rbac_test.role("Role", [rule(["secrets"], ["list"])]),
		rbac_test.role("ClusterRole", [rule(["pods/portforward"], ["create"])]),
		bound_to({"kind": "Group", "name": "system:authenticated"}),
		bound_to({"kind": "ServiceAccount", "name": "default", "namespace": "shop"}),
	] {
		denied(examples.update(manifest, manifest)) == 0
	}
}

test_one_named_secret_may_be_got if {
	denied(examples.create(rbac_test.role("Role", [object.union(rule(["secrets"], ["get"]), {"resourceNames": ["cart"]})]))) == 0
	denied(examples.create(rbac_test.role("Role", [rule(["secrets"], ["create"])]))) == 0
	denied(examples.create(rbac_test.role("Role", [rule(["certificatesigningrequests/approval"], ["get"])]))) == 0
}
