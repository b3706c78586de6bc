package countersign.access.rbac_test

import data.countersign.access.rbac
import data.countersign.lib.examples

role(kind, rules) := {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "cart-reader"}, "rules": rules}

binding(role_name, subjects) := {
	"apiVersion": "rbac.authorization.k8s.io/v1",
	"kind": "ClusterRoleBinding",
	"metadata": {"name": "cart"},
	"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role_name},
	"subjects": subjects,
}

modest := {"apiGroups": [""], "resources": ["configmaps", "pods"], "verbs": ["get", "list", "watch"]}

everything := {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}

account := {"kind": "ServiceAccount", "name": "cart", "namespace": "shop"}

denied(object) := n if {
	results := rbac.deny with input as examples.one(examples.create(object))
	n := count(results)
}

denied_update(before, after) := n if {
	results := rbac.deny with input as examples.one(examples.update(before, after))
	n := count(results)
}

test_a_modest_role_and_binding_pass if {
	denied(role("Role", [modest])) == 0
	denied(binding("cart-reader", [account])) == 0
}

test_wildcards_are_denied if {
	every rule in [
		object.union(modest, {"verbs": ["get", "*"]}),
		object.union(modest, {"resources": ["*"]}),
		object.union(modest, {"resources": ["*/*"]}),
	] {
		denied(role("ClusterRole", [modest, rule])) == 1
		denied(role("Role", [rule])) == 1
	}
}

test_verbs_that_give_oneself_more_are_denied if {
	every verb in ["escalate", "bind", "impersonate"] {
		denied(role("Role", [object.union(modest, {"verbs": [verb]})])) == 1
	}
	every resource in ["nodes/proxy", "serviceaccounts/token", "pods/exec"] {
		denied(role("Role", [object.union(modest, {"resources": [resource], "verbs": ["create"]})])) == 1
	}
}

test_only_growth_counts if {
	denied_update(role("ClusterRole", [everything]), role("ClusterRole", [modest, everything])) == 0
	denied_update(role("ClusterRole", [everything]), role("ClusterRole", [modest])) == 0
	denied_update(role("ClusterRole", [modest]), role("ClusterRole", [everything])) > 0
	denied_update(binding("cluster-admin", [account]), binding("cluster-admin", [account])) == 0
}

test_cluster_admin_is_denied if {
	results := rbac.deny with input as examples.one(examples.create(binding("cluster-admin", [account])))
	count(results) == 1
	some result in results
	result.msg == `ClusterRoleBinding "cart" newly gives cluster-admin to ServiceAccount cart`
}

test_one_more_administrator_is_denied if {
	other := {"kind": "User", "name": "eve@example.org"}
	denied_update(binding("cluster-admin", [account]), binding("cluster-admin", [account, other])) == 1
}

test_a_binding_that_now_means_another_role_is_denied if {
	denied_update(binding("cart-reader", [account]), binding("cluster-admin", [account])) == 1
}

test_everybody_and_nobody_are_denied if {
	every name in ["system:anonymous", "system:unauthenticated", "system:masters"] {
		denied(binding("cart-reader", [{"kind": "Group", "name": name}])) == 1
	}
}

test_adding_to_a_built_in_role_is_denied if {
	labelled := object.union(role("ClusterRole", [modest]), {"metadata": {"labels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}})
	denied(labelled) == 1
	denied_update(labelled, labelled) == 0
}

test_a_list_does_not_hide_it if {
	denied(examples.list([role("Role", [modest]), binding("cluster-admin", [account])])) == 1
	denied({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleList", "metadata": {"name": "x"}, "items": [role("Role", [everything])]}) > 0
}

test_older_versions_do_not_hide_it if {
	denied(object.union(binding("cluster-admin", [account]), {"apiVersion": "rbac.authorization.k8s.io/v1beta1"})) == 1
}
