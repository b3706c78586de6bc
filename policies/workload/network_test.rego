package countersign.workload.network_test

import data.countersign.lib.examples
import data.countersign.workload.network

denied(object) := n if {
	results := network.deny with input as examples.one(examples.create(object))
	n := count(results)
}

service(spec) := examples.thing("v1", "Service", {"spec": spec})

ingress(spec) := examples.thing("networking.k8s.io/v1", "Ingress", {"spec": spec})

policy(spec) := examples.thing("networking.k8s.io/v1", "NetworkPolicy", {"spec": spec})

test_inside_passes if {
	denied(service({"type": "ClusterIP"})) == 0
	denied(service({})) == 0
	denied(object.union(
		service({"type": "LoadBalancer"}),
		{"metadata": {"annotations": {"service.beta.kubernetes.io/aws-load-balancer-internal": "true"}}},
	)) == 0
}

test_ways_from_outside_are_denied if {
	every spec in [{"type": "LoadBalancer"}, {"type": "NodePort"}, {"externalIPs": ["203.0.113.7"]}] {
		every manifest in examples.also_listed(service(spec)) {
			denied(manifest) == 1
		}
	}
	denied(object.union(
		service({"type": "NodePort"}),
		{"metadata": {"annotations": {"service.beta.kubernetes.io/aws-load-balancer-internal": "true"}}},
	)) == 1
}

test_every_host_of_an_ingress_needs_tls if {
	rules := [{"host": "a.example.org"}, {"host": "b.example.org"}]
	denied(ingress({"rules": rules, "tls": [{"hosts": ["a.example.org", "b.example.org"]}]})) == 0
	denied(ingress({"rules": rules, "tls": [{"hosts": ["*.example.org"]}]})) == 0
	denied(ingress({"rules": rules, "tls": [{"secretName": "all"}]})) == 0
	every tls in [[{"hosts": ["a.example.org"]}], [{"hosts": ["a.example.org", "*.org"]}]] {
		every manifest in examples.also_listed(ingress({"rules": rules, "tls": tls})) {
			denied(manifest) == 1
		}
	}
}

test_an_ingress_without_a_host_is_denied if {
	tls := [{"secretName": "all"}]
	every spec in [{"rules": [{}], "tls": tls}, {"rules": [{"host": "*.example.org"}], "tls": tls}, {"defaultBackend": {"service": {}}, "tls": tls}] {
		denied(ingress(spec)) == 1
	}
	denied(ingress({"rules": [{}]})) == 2
}

test_a_policy_that_lets_all_in_is_denied if {
	every manifest in examples.also_listed(policy({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}, {}]})) {
		denied(manifest) == 1
	}
	denied(policy({"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]})) == 0
	denied(policy({"podSelector": {}, "ingress": []})) == 0
}
