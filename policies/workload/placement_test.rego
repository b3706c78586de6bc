package countersign.workload.placement_test

import data.countersign.lib.examples
import data.countersign.workload.placement

denied_with(object, settings) := n if {
	results := placement.deny with input as examples.one(examples.create(object)) with data.countersign.settings as settings
	n := count(results)
}

denied(object) := denied_with(object, {})

in_namespace(name) := object.union(examples.deployment(examples.pod), {"metadata": {"namespace": name}})

test_a_namespace_of_its_own_passes if denied(in_namespace("shop")) == 0

test_default_and_system_namespaces_are_denied if {
	every name in ["default", "kube-system", "kube-public"] {
		denied(in_namespace(name)) == 1
	}
}

test_what_lies_in_default_already_may_change if {
	count(placement.deny) == 0 with input as examples.one(examples.update(in_namespace("default"), in_namespace("default")))
}

test_a_bare_pod_is_denied_unless_it_is_a_hook if {
	pod := examples.bare_pod(examples.pod)
	every manifest in examples.also_listed(pod) {
		denied(manifest) == 1
	}
	denied(object.union(pod, {"metadata": {"annotations": {"helm.sh/hook": "test"}}})) == 0
	denied(examples.deployment(examples.pod)) == 0
}

test_labels_are_asked_for_where_they_are_named if {
	settings := {"labels": ["app", "team"]}
	every manifest in examples.also_listed(examples.deployment(examples.pod)) {
		denied_with(manifest, settings) == 1
	}
	denied_with(object.union(examples.deployment(examples.pod), {"metadata": {"labels": {"team": ""}}}), settings) == 1
	denied_with(object.union(examples.deployment(examples.pod), {"metadata": {"labels": {"team": "shop"}}}), settings) == 0
	denied_with({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": null}}, settings) == 1
}

test_removed_apis_are_denied_from_their_version_on if {
	budget := examples.thing("policy/v1beta1", "PodDisruptionBudget", {})
	every manifest in examples.also_listed(budget) {
		denied_with(manifest, {"kubernetes": "1.34"}) == 1
	}
	denied_with(budget, {"kubernetes": "1.24"}) == 0
	denied(budget) == 0
	denied_with(examples.thing("policy/v1", "PodDisruptionBudget", {}), {"kubernetes": "1.34"}) == 0
	denied_with(examples.thing("networking.k8s.io/v1beta1", "ServiceCIDR", {}), {"kubernetes": "1.34"}) == 0
	denied_with(examples.thing("extensions/v1beta1", "Ingress", {}), {"kubernetes": "1.21"}) == 0
	denied_with(examples.thing("extensions/v1beta1", "Deployment", {}), {"kubernetes": "1.21"}) == 1
}

test_claims_without_a_class_are_denied if {
	claim := examples.thing("v1", "PersistentVolumeClaim", {"spec": {}})
	every manifest in examples.also_listed(claim) {
		denied(manifest) == 1
	}
	denied(object.union(claim, {"spec": {"storageClassName": "fast"}})) == 0
	denied(object.union(claim, {"spec": {"volumeName": "old"}})) == 0
	denied(examples.thing("apps/v1", "StatefulSet", {"spec": {"volumeClaimTemplates": [{"spec": {}}]}})) == 1
}
