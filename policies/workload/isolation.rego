# METADATA
# title: Namespaces are apart
package countersign.workload.isolation

# METADATA
# title: A new namespace comes with a network policy
# description: Without any, every pod of the cluster reaches every pod in it.
# custom:
#   id: network.policy-missing
#   profile: strict
#   scope: change
#   severity: medium
#   controls: ["SOC2:CC6.6", "ISO27001:A.8.22", "NIST-800-53:SC-7(5)", "PCI-DSS:1.3.1"]
#   bad: "kind: Namespace"
#   good: "kind: Namespace, and beside it a NetworkPolicy {podSelector: {}, policyTypes: [Ingress]} in it"
deny contains result if {
	some change in input.changes
	change.op == "create"
	change.object.kind == "Namespace"
	not protected(change.object.name)
	result := {
		"msg": sprintf("the namespace %s has no network policy", [change.object.name]),
		"object": change.object,
		"fix": "Add a NetworkPolicy for all of its pods to the same change",
	}
}

protected(namespace) if {
	some change in input.changes
	change.op != "delete"
	change.object.kind == "NetworkPolicy"
	change.object.namespace == namespace
	count(object.get(change.after.spec, "podSelector", {})) == 0
}
