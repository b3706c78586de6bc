package countersign.workload.restricted_test

import data.countersign.lib.examples
import data.countersign.workload.restricted

denied(object) := n if {
	results := restricted.deny with input as examples.one(examples.create(object))
	n := count(results)
}

careful := examples.container.securityContext

test_a_careful_pod_passes if {
	every manifest in examples.everywhere(examples.pod) {
		denied(manifest) == 0
	}
}

test_each_carelessness_is_denied if {
	every more in [
		{"allowPrivilegeEscalation": true},
		{"runAsNonRoot": false},
		{"runAsUser": 0},
		{"capabilities": {"drop": ["NET_RAW"]}},
		{"capabilities": {"drop": ["ALL"], "add": ["SYS_TIME"]}},
	] {
		every field in ["initContainers", "ephemeralContainers"] {
			pod := examples.pod_and(field, {"securityContext": object.union(careful, more)})
			every manifest in examples.everywhere(pod) {
				denied(manifest) == 1
			}
		}
	}
}

test_what_is_not_said_is_not_so if {
	every field in ["allowPrivilegeEscalation", "runAsNonRoot", "capabilities", "seccompProfile"] {
		container := object.union(object.remove(examples.container, ["securityContext"]), {"securityContext": object.remove(careful, [field])})
		denied(examples.deployment(examples.pod_with({"containers": [container]}))) == 1
	}
	denied(examples.deployment(examples.pod_with({"containers": [object.remove(examples.container, ["securityContext"])]}))) == 4
}

test_a_pod_may_speak_for_its_containers if {
	container := object.union(
		object.remove(examples.container, ["securityContext"]),
		{"securityContext": object.remove(careful, ["runAsNonRoot", "seccompProfile"])},
	)
	said := {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}
	denied(examples.deployment(examples.pod_with({"containers": [container], "securityContext": said}))) == 0
	taken_back := object.union(container, {"securityContext": {"runAsNonRoot": false}})
	denied(examples.deployment(examples.pod_with({"containers": [taken_back], "securityContext": said}))) == 1
}

test_a_pod_that_says_root_is_denied if {
	denied(examples.deployment(examples.pod_with({"securityContext": {"runAsNonRoot": false}}))) == 1
	denied(examples.deployment(examples.pod_with({"securityContext": {"runAsUser": 0}}))) == 1
}

test_root_is_nobody_in_a_user_namespace if {
	pod := object.union(
		examples.pod_and("initContainers", {"securityContext": object.union(careful, {"runAsNonRoot": false, "runAsUser": 0})}),
		{"hostUsers": false},
	)
	denied(examples.deployment(pod)) == 0
	seeing := examples.pod_and("initContainers", {"securityContext": object.union(careful, {"procMount": "Unmasked"})})
	denied(examples.deployment(object.union(seeing, {"hostUsers": false}))) == 1
}

test_windows_has_no_linux_settings if {
	container := {"name": "iis", "image": examples.pinned, "securityContext": {"runAsNonRoot": true}}
	denied(examples.deployment({"os": {"name": "windows"}, "containers": [container]})) == 0
	denied(examples.deployment({"os": {"name": "linux"}, "containers": [container]})) == 3
}

test_volumes_of_machines_and_networks_are_denied if {
	every volume in [{"nfs": {"server": "x", "path": "/"}}, {"hostPath": {"path": "/"}}, {"iscsi": {}}, {"madeUp": {}}] {
		every manifest in examples.everywhere(examples.pod_with({"volumes": [object.union({"name": "v"}, volume)]})) {
			denied(manifest) == 1
		}
	}
	every volume in [{}, {"emptyDir": {}}, {"csi": {"driver": "x"}}, {"persistentVolumeClaim": {"claimName": "x"}}] {
		denied(examples.deployment(examples.pod_with({"volumes": [object.union({"name": "v"}, volume)]}))) == 0
	}
}
