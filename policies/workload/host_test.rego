package countersign.workload.host_test

import data.countersign.lib.examples
import data.countersign.workload.host

denied(object) := n if {
	results := host.deny with input as examples.one(examples.create(object))
	n := count(results)
}

test_a_pod_of_its_own_passes if {
	denied(examples.deployment(examples.pod)) == 0
	denied(examples.deployment(examples.pod_with({"hostNetwork": false, "hostUsers": false}))) == 0
}

test_each_host_namespace_is_denied if {
	every field in ["hostNetwork", "hostPID", "hostIPC"] {
		denied(examples.deployment(examples.pod_with({field: true}))) == 1
	}
}

test_a_host_path_is_denied_among_other_volumes if {
	object := examples.deployment(examples.pod_with({"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "root", "hostPath": {"path": "/"}}]}))
	results := host.deny with input as examples.one(examples.create(object))
	count(results) == 1
	some result in results
	result.msg == `the volume "root" is the host's /`
}

test_a_host_port_is_denied_and_a_zero_is_none if {
	denied(examples.deployment(examples.pod_and("initContainers", {"ports": [{"containerPort": 80, "hostPort": 80}]}))) == 1
	denied(examples.deployment(examples.pod_and("initContainers", {"ports": [{"containerPort": 80, "hostPort": 0}]}))) == 0
}

test_it_does_not_hide_in_lists_cron_jobs_and_own_kinds if {
	pod := examples.pod_with({"hostPID": true})
	every manifest in [
		examples.list([examples.cron_job(pod)]),
		examples.cron_job(pod),
		examples.rollout(pod),
		examples.bare_pod(object.union(object.remove(pod, ["containers"]), {"initContainers": [examples.container]})),
	] {
		denied(manifest) == 1
	}
}

test_a_probe_of_another_host_is_denied if {
	every more in [
		{"livenessProbe": {"httpGet": {"host": "169.254.169.254", "port": 80}}},
		{"startupProbe": {"tcpSocket": {"host": "10.0.0.1", "port": 80}}},
		{"lifecycle": {"preStop": {"httpGet": {"host": "10.0.0.1", "port": 80}}}},
		{"lifecycle": {"postStart": {"tcpSocket": {"host": "10.0.0.1", "port": 80}}}},
	] {
		every manifest in examples.everywhere(examples.pod_and("initContainers", more)) {
			denied(manifest) == 1
		}
	}
	denied(examples.deployment(examples.pod_and("initContainers", {"livenessProbe": {"httpGet": {"host": "", "port": 80}}}))) == 0
}
