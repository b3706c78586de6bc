package countersign.workload.privileged_test

import data.countersign.lib.examples
import data.countersign.workload.privileged

privileged_container := {"name": "setup", "securityContext": {"privileged": true}}

denied(object) := n if {
	results := privileged.deny with input as examples.one(examples.create(object))
	n := count(results)
}

test_a_careful_deployment_passes if {
	denied(examples.deployment(examples.pod)) == 0
}

test_a_privileged_container_is_denied if {
	object := examples.deployment(examples.pod_with({"containers": [examples.container_with({"securityContext": {"privileged": true}})]}))
	results := privileged.deny with input as examples.one(examples.create(object))
	results == {{"msg": `container "cart" runs privileged`, "fix": "Remove securityContext.privileged"}}
}

test_init_and_ephemeral_containers_are_containers if {
	denied(examples.deployment(examples.pod_and("initContainers", privileged_container))) == 1
	denied(examples.bare_pod(examples.pod_and("ephemeralContainers", privileged_container))) == 1
}

test_it_does_not_hide_in_lists_cron_jobs_and_own_kinds if {
	pod := examples.pod_and("initContainers", privileged_container)
	every manifest in [
		examples.list([examples.deployment(examples.pod), examples.deployment(pod)]),
		examples.list([examples.list([examples.bare_pod(pod)])]),
		examples.cron_job(pod),
		examples.rollout(pod),
		{"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": {"spec": pod}},
		{"apiVersion": "v1", "kind": "PodList", "metadata": {"name": "x"}, "items": [{"spec": pod}]},
		object.union(examples.deployment(pod), {"apiVersion": "extensions/v1beta1"}),
		object.union(examples.cron_job(pod), {"apiVersion": "batch/v1beta1"}),
	] {
		denied(manifest) == 1
	}
}

test_capabilities_beyond_the_baseline_are_denied if {
	every capability in ["SYS_ADMIN", "sys_admin", "CAP_SYS_ADMIN", "cap_net_raw", "ALL", "all", "NET_ADMIN"] {
		denied(examples.bare_pod(examples.pod_and("initContainers", {"securityContext": {"capabilities": {"add": [capability]}}}))) == 1
	}
}

test_what_undoes_isolation_is_denied if {
	every context in [{"procMount": "Unmasked"}, {"windowsOptions": {"hostProcess": true}}] {
		denied(examples.bare_pod(examples.pod_and("initContainers", {"securityContext": context}))) == 1
	}
	denied(examples.bare_pod(examples.pod_with({"securityContext": {"windowsOptions": {"hostProcess": true}}}))) == 1
}

test_proc_may_be_seen_in_a_user_namespace if {
	pod := object.union(examples.pod_and("initContainers", {"securityContext": {"procMount": "Unmasked"}}), {"hostUsers": false})
	denied(examples.deployment(pod)) == 0
}

test_it_is_seen_in_every_kind if {
	every manifest in examples.everywhere(examples.pod_and("ephemeralContainers", privileged_container)) {
		denied(manifest) == 1
	}
}

test_a_deletion_is_not_judged_by_what_it_deletes if {
	object := examples.deployment(examples.pod_and("initContainers", privileged_container))
	count(privileged.deny) == 0 with input as examples.one(examples.delete(object))
}
