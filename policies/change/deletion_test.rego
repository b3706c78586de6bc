package countersign.change.deletion_test

import data.countersign.change.deletion
import data.countersign.lib.examples

cluster_object(api_version, kind) := {"apiVersion": api_version, "kind": kind, "metadata": {"name": "shop"}}

config_map(n) := {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": sprintf("settings-%d", [n]), "namespace": "shop"}}

test_deleting_a_deployment_passes if {
	count(deletion.deny) == 0 with input as examples.many([examples.delete(examples.deployment(examples.pod))])
}

test_deleting_a_namespace_is_denied if {
	results := deletion.deny with input as examples.many([examples.delete(cluster_object("v1", "Namespace"))])
	count(results) == 1
	some result in results
	result.msg == `Namespace "shop" would be deleted, and with it every object in it`
	result.object.kind == "Namespace"
}

test_deleting_what_holds_data_is_denied if {
	every manifest in [
		cluster_object("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
		cluster_object("apiextensions.k8s.io/v1beta1", "CustomResourceDefinition"),
		cluster_object("v1", "PersistentVolume"),
		{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"}},
	] {
		count(deletion.deny) == 1 with input as examples.many([examples.delete(manifest)])
	}
}

test_a_kind_of_the_same_name_in_another_group_passes if {
	count(deletion.deny) == 0 with input as examples.many([examples.delete(cluster_object("example.org/v1", "Namespace"))])
}

test_deleting_many_objects_at_once_is_denied if {
	few := [examples.delete(config_map(n)) | some n in numbers.range(1, 10)]
	count(deletion.deny) == 0 with input as examples.many(few)
	many := [examples.delete(config_map(n)) | some n in numbers.range(1, 11)]
	count(deletion.deny) == 1 with input as examples.many(many)
	count(deletion.deny) == 0 with input as examples.many(many) with data.countersign.settings as {"max_deletions": 11}
}

# Creating the same elsewhere does not make a deletion harmless.
test_a_renamed_namespace_is_a_deletion if {
	renamed := {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop-2"}}
	changes := [examples.delete(cluster_object("v1", "Namespace")), examples.create(renamed)]
	count(deletion.deny) == 1 with input as examples.many(changes)
}

test_settings_that_are_no_number_do_not_lift_the_limit if {
	many := [examples.delete(config_map(n)) | some n in numbers.range(1, 11)]
	count(deletion.deny) == 1 with input as examples.many(many) with data.countersign.settings as {"max_deletions": "many"}
}
