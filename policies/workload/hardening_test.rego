package countersign.workload.hardening_test

import data.countersign.lib.examples
import data.countersign.workload.hardening

denied(object) := n if {
	results := hardening.deny with input as examples.one(examples.create(object))
	n := count(results)
}

test_a_careful_pod_passes if {
	every manifest in examples.everywhere(examples.pod) {
		denied(manifest) == 0
	}
}

test_a_writable_root_is_denied if {
	writable := {"securityContext": {"readOnlyRootFilesystem": false}}
	every manifest in examples.everywhere(examples.pod_and("initContainers", writable)) {
		denied(manifest) == 1
	}
	denied(examples.bare_pod(examples.pod_and("ephemeralContainers", writable))) == 0
}

test_the_default_accounts_token_is_denied if {
	pod := object.remove(examples.pod, ["serviceAccountName", "automountServiceAccountToken"])
	every more in [{}, {"serviceAccountName": "default"}, {"serviceAccount": "default"}, {"automountServiceAccountToken": true}] {
		every manifest in examples.everywhere(object.union(pod, more)) {
			denied(manifest) == 1
		}
	}
	denied(examples.deployment(object.union(pod, {"serviceAccount": "cart"}))) == 0
	denied(examples.deployment(object.union(pod, {"automountServiceAccountToken": false}))) == 0
}

test_the_clusters_own_priority_is_denied if {
	pod := examples.pod_with({"priorityClassName": "system-node-critical"})
	every manifest in examples.everywhere(pod) {
		denied(manifest) == 1
	}
	denied(object.union(examples.deployment(pod), {"metadata": {"namespace": "kube-system"}})) == 0
	denied(examples.deployment(examples.pod_with({"priorityClassName": "important"}))) == 0
}
