package countersign.workload.profiles_test

import data.countersign.lib.examples
import data.countersign.workload.profiles

denied(object) := n if {
	results := profiles.deny with input as examples.one(examples.create(object))
	n := count(results)
}

# A good and a bad value of each setting.
settings := [
	[{"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}}, {"seccompProfile": {"type": "Unconfined"}}],
	[{"seccompProfile": {"type": "RuntimeDefault"}}, {"seccompProfile": {"type": ""}}],
	[{"appArmorProfile": {"type": "RuntimeDefault"}}, {"appArmorProfile": {"type": "Unconfined"}}],
	[{"seLinuxOptions": {"type": "container_t", "level": "s0"}}, {"seLinuxOptions": {"type": "spc_t"}}],
	[{"seLinuxOptions": {"user": "", "role": null}}, {"seLinuxOptions": {"user": "system_u"}}],
	[{"seLinuxOptions": {}}, {"seLinuxOptions": {"role": "sysadm_r"}}],
]

test_good_values_pass_and_bad_ones_are_denied if {
	every setting in settings {
		every field in ["initContainers", "ephemeralContainers"] {
			denied(examples.deployment(examples.pod_and(field, {"securityContext": setting[0]}))) == 0
			denied(examples.deployment(examples.pod_and(field, {"securityContext": setting[1]}))) == 1
		}
		denied(examples.deployment(examples.pod_with({"securityContext": setting[0]}))) == 0
		every manifest in examples.everywhere(examples.pod_with({"securityContext": setting[1]})) {
			denied(manifest) == 1
		}
	}
}

test_sysctls_of_the_node_are_denied if {
	denied(examples.deployment(examples.pod_with({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]}}))) == 0
	every manifest in examples.everywhere(examples.pod_with({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}})) {
		denied(manifest) == 1
	}
}

annotated(value) := {"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/cart": value}}, "spec": examples.pod}

test_an_annotation_switches_apparmor_off_too if {
	every value in ["", "runtime/default", "localhost/cart"] {
		denied(object.union(examples.deployment(examples.pod), {"spec": {"template": annotated(value)}})) == 0
	}
	every manifest in [
		object.union(examples.bare_pod(examples.pod), annotated("unconfined")),
		object.union(examples.deployment(examples.pod), {"spec": {"template": annotated("unconfined")}}),
		object.union(examples.cron_job(examples.pod), {"spec": {"jobTemplate": {"spec": {"template": annotated("unconfined")}}}}),
		object.union(examples.rollout(examples.pod), {"spec": {"template": annotated("unconfined")}}),
	] {
		denied(manifest) == 1
	}
}
