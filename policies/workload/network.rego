# METADATA
# title: Networks are open where somebody meant it
# custom:
#   scope: object
#   severity: medium
#   controls: ["SOC2:CC6.6", "ISO27001:A.8.20", "NIST-800-53:SC-7", "PCI-DSS:1.3.1"]
package countersign.workload.network

import data.countersign.lib.objects

services := [after |
	some [after, _] in objects.written
	after.kind == "Service"
	after.apiVersion == "v1"
]

ingresses := [after |
	some [after, _] in objects.written
	after.kind == "Ingress"
]

# METADATA
# title: Services take no addresses that are not theirs
# description: With externalIPs a Service takes over traffic to any address, others' included (CVE-2020-8554).
# custom:
#   id: network.external-ips
#   severity: high
#   bad: "kind: Service, spec: {externalIPs: [203.0.113.7]}"
#   good: "kind: Service, spec: {type: ClusterIP}"
deny contains result if {
	some after in services
	count(after.spec.externalIPs) > 0
	result := {"msg": sprintf("%s takes addresses by externalIPs", [objects.name(after)]), "fix": "Remove spec.externalIPs"}
}

# METADATA
# title: Services do not open the cluster
# description: A load balancer or a port of every node goes around what stands at the door. Internal load balancers may.
# custom:
#   id: network.exposed
#   profile: strict
#   bad: "kind: Service, spec: {type: LoadBalancer}"
#   good: "kind: Service, spec: {type: ClusterIP}"
deny contains result if {
	some after in services
	after.spec.type in {"LoadBalancer", "NodePort"}
	not within(after)
	result := {
		"msg": sprintf("%s is reached from outside by %s", [objects.name(after), after.spec.type]),
		"fix": "Use ClusterIP behind an Ingress or a Gateway, or the annotation that makes your cloud's load balancer internal",
	}
}

within(after) if {
	after.spec.type == "LoadBalancer"
	some key, value in after.metadata.annotations
	regex.match(`load-balancer-(?:internal|type|scheme)$`, key)
	lower(value) in {"true", "internal"}
}

# METADATA
# title: Traffic from outside is encrypted
# description: Each host of an Ingress stands in its tls.
# custom:
#   id: network.ingress-tls
#   profile: strict
#   severity: high
#   controls: ["SOC2:CC6.7", "ISO27001:A.8.24", "NIST-800-53:SC-8", "PCI-DSS:4.2.1"]
#   bad: "kind: Ingress, spec: {rules: [{host: shop.example.org}]}"
#   good: "kind: Ingress, spec: {tls: [{hosts: [shop.example.org], secretName: shop}], rules: [{host: shop.example.org}]}"
deny contains result if {
	some after in ingresses
	some rule in after.spec.rules
	host := object.get(rule, "host", "")
	not encrypted(after.spec, host)
	result := {
		"msg": sprintf("%s serves %s without TLS", [objects.name(after), shown(host)]),
		"fix": "Add the host to spec.tls",
	}
}

encrypted(spec, host) if {
	some tls in spec.tls
	some covered in tls.hosts
	covers(covered, host)
}

# An entry without hosts is the controller's own certificate for all.
encrypted(spec, _) if {
	some tls in spec.tls
	count(object.get(tls, "hosts", [])) == 0
}

covers(covered, host) if covered == host

covers(covered, host) if {
	startswith(covered, "*.")
	endswith(host, substring(covered, 1, -1))
	not contains(trim_suffix(host, substring(covered, 1, -1)), ".")
}

shown("") := "every host"

shown(host) := host if host != ""

# METADATA
# title: Ingresses name their host
# description: One without a host, or with a wildcard, takes requests that are meant for others.
# custom:
#   id: network.ingress-host
#   profile: strict
#   bad: "kind: Ingress, spec: {rules: [{host: \"*.example.org\"}]}"
#   good: "kind: Ingress, spec: {rules: [{host: shop.example.org}]}"
deny contains result if {
	some after in ingresses
	some host in hosts(after.spec)
	not named(host)
	result := {"msg": sprintf("%s takes requests for %s", [objects.name(after), shown(host)]), "fix": "Name the host in each rule"}
}

hosts(spec) := array.concat(
	[object.get(rule, "host", "") | some rule in spec.rules],
	["" | is_object(spec.defaultBackend)],
)

named(host) if {
	host != ""
	not startswith(host, "*")
}

# METADATA
# title: Network policies let not everything in
# description: An ingress rule without "from" allows all the world, for every port it names or does not name.
# custom:
#   id: network.policy-open
#   profile: strict
#   bad: "kind: NetworkPolicy, spec: {podSelector: {}, ingress: [{}]}"
#   good: "kind: NetworkPolicy, spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}"
deny contains result if {
	some [after, _] in objects.written
	after.kind == "NetworkPolicy"
	some rule in after.spec.ingress
	count(object.get(rule, "from", [])) == 0
	count(object.get(rule, "ports", [])) == 0
	result := {
		"msg": sprintf("%s lets everything in", [objects.name(after)]),
		"fix": "Say who may (from) or where (ports)",
	}
}
