package countersign.workload.availability_test

import data.countersign.lib.examples
import data.countersign.workload.availability

denied(object) := n if {
	results := availability.deny with input as examples.one(examples.create(object))
	n := count(results)
}

with_spec(more) := object.union(examples.deployment(examples.pod), {"spec": more})

test_a_careful_deployment_passes if denied(examples.deployment(examples.pod)) == 0

test_a_container_with_ports_needs_a_probe if {
	container := object.remove(examples.container, ["readinessProbe"])
	every manifest in examples.also_listed(examples.deployment(examples.pod_with({"containers": [container]}))) {
		denied(manifest) == 1
	}
	denied(examples.deployment(examples.pod_with({"containers": [object.remove(container, ["ports"])]}))) == 0
}

test_one_replica_is_denied_in_production_only if {
	every manifest in examples.also_listed(with_spec({"replicas": 1})) {
		denied(manifest) == 1
	}
	denied(with_spec({"replicas": 0})) == 0
	elsewhere := object.union(examples.one(examples.create(with_spec({"replicas": 1}))), {"environment": {"name": "shop/staging"}})
	count(availability.deny) == 0 with input as elsewhere
	labelled := object.union(elsewhere, {"environment": {"name": "shop/live", "labels": {"tier": "Production"}}})
	count(availability.deny) == 1 with input as labelled
	count(availability.deny) == 1 with input as elsewhere with data.countersign.settings as {"production": ["shop/*"]}
	count(availability.deny) == 0 with input as labelled with data.countersign.settings as {"production": ["other/*"]}
}

test_replicas_that_stand_together_are_denied if {
	pod := object.remove(examples.pod, ["topologySpreadConstraints"])
	every manifest in examples.also_listed(examples.deployment(pod)) {
		denied(manifest) == 1
	}
	affinity := {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1}]}}
	denied(examples.deployment(object.union(pod, {"affinity": affinity}))) == 0
}

test_a_budget_that_stops_drains_is_denied if {
	every spec in [{"maxUnavailable": 0}, {"maxUnavailable": "0%"}, {"minAvailable": "100%"}] {
		every manifest in examples.also_listed(examples.thing("policy/v1", "PodDisruptionBudget", {"spec": spec})) {
			denied(manifest) == 1
		}
	}
	denied(examples.thing("policy/v1", "PodDisruptionBudget", {"spec": {"maxUnavailable": 1}})) == 0
}
