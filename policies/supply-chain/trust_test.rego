package countersign.supply_chain.trust_test

import data.countersign.lib.examples
import data.countersign.supply_chain.trust

said(image) := results if {
	pod := examples.pod_and("initContainers", {"image": image, "imagePullPolicy": "Always"})
	results := trust.deny with input as examples.one(examples.create(examples.cron_job(pod)))
}

test_a_version_from_a_registry_passes if {
	every image in ["registry.example.org/cart:1.4.2", "registry.example.org:5000/cart:1", examples.pinned, "registry.k8s.io/pause:3.9"] {
		count(said(image)) == 0
	}
}

test_registries_that_forget_are_denied if {
	every image in ["ttl.sh/cart:1h", "localhost:5000/cart:1", "LOCALHOST/cart:1", "host.docker.internal/x:1", "a-1.ngrok.io/x:1", "127.0.0.1:5/x:1"] {
		count(said(image)) == 1
	}
	count(said("ttl.sh.example.org/cart:1")) == 0
}

test_closed_registries_are_denied if {
	count(said("k8s.gcr.io/pause:3.2")) == 1
	count(said("docker.pkg.github.com/a/b/c:1")) == 1
	count(said("k8s.gcr.io.example.org/pause:3.2")) == 0
}

test_tags_that_say_nothing_are_denied if {
	every image in ["nginx", "nginx:latest", "nginx:LATEST", "registry.example.org:5000/cart"] {
		every manifest in examples.everywhere(examples.pod_and("ephemeralContainers", {"image": image, "imagePullPolicy": "Always"})) {
			count(trust.deny) == 1 with input as examples.one(examples.create(manifest))
		}
	}
}

test_tags_are_looked_up if {
	every more in [{"imagePullPolicy": "IfNotPresent"}, {"imagePullPolicy": "Never"}, {}] {
		pod := examples.pod_and("initContainers", object.union({"image": "registry.example.org/cart:1"}, more))
		every manifest in examples.everywhere(pod) {
			count(trust.deny) == 1 with input as examples.one(examples.create(manifest))
		}
	}
	count(trust.deny) == 0 with input as examples.one(examples.create(examples.deployment(examples.pod)))
}
