package countersign.workload.resources_test

import data.countersign.lib.examples
import data.countersign.workload.resources

denied(object) := n if {
	results := resources.deny with input as examples.one(examples.create(object))
	n := count(results)
}

bare(more) := object.union(object.remove(examples.container, ["resources"]), more)

test_requests_and_a_memory_limit_pass if {
	denied(examples.deployment(examples.pod)) == 0
}

test_what_is_missing_is_named if {
	object := examples.deployment(examples.pod_with({"containers": [bare({"resources": {"requests": {"cpu": "100m"}}})]}))
	results := resources.deny with input as examples.one(examples.create(object))
	count(results) == 1
	some result in results
	result.msg == `container "cart" does not say: requests.memory, limits.memory`
}

test_init_containers_need_them_too if {
	denied(examples.cron_job(examples.pod_with({"initContainers": [bare({})]}))) == 1
	denied(examples.list([examples.rollout(examples.pod_with({"initContainers": [bare({})]}))])) == 1
}

# Zero means no limit.
test_zero_is_nothing if {
	every zero in ["0", "0Mi", "0.0Gi", "000", 0, "0e3"] {
		resources := {"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"memory": zero}}
		denied(examples.deployment(examples.pod_with({"containers": [bare({"resources": resources})]}))) == 1
	}
}

test_resources_of_the_whole_pod_count if {
	pod := examples.pod_with({"containers": [bare({})], "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}})
	denied(examples.deployment(pod)) == 0
}

test_a_limit_is_a_request_too if {
	resources := {"limits": {"cpu": 2, "memory": "1Gi"}}
	denied(examples.deployment(examples.pod_with({"containers": [bare({"resources": resources})]}))) == 0
}
