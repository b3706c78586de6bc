# METADATA
# title: Permissions do not grow by the way
# description: Only what a change adds counts; what was there before was judged before.
package countersign.access.rbac

roles := {"Role", "ClusterRole"}

bindings := {"RoleBinding", "ClusterRoleBinding"}

# What is written, with what was there: [object, the same object before or {}]. A List is as good as what it holds.
pairs := array.concat(
	[[change.after, object_or_empty(change.before)] |
		some change in input.changes
		change.op != "delete"
		not change.after.items
	],
	[[item, {}] |
		some change in input.changes
		change.op != "delete"
		some item in change.after.items
	],
)

object_or_empty(null) := {}

object_or_empty(value) := value if is_object(value)

# METADATA
# title: No new permission to do everything, or to give oneself more
# custom:
#   id: rbac.growth
#   bad: "rules: [{apiGroups: [*], resources: [*], verbs: [*]}]"
#   good: "rules: [{apiGroups: [apps], resources: [deployments], verbs: [get, list]}]"
#   severity: critical
#   scope: object
#   controls: ["SOC2:CC6.3", "ISO27001:A.8.2", "NIST-800-53:AC-6", "PCI-DSS:7.2.2"]
deny contains result if {
	some [after, before] in pairs
	kind_of(after) in roles
	had := [problem | some rule in before.rules; some problem in powers(rule)]
	some rule in after.rules
	some problem in powers(rule)
	not problem in had
	result := {
		"msg": sprintf(`%s "%s" newly %s`, [kind_of(after), object.get(after.metadata, "name", "?"), problem]),
		"fix": "Name the API groups, resources and verbs that are needed",
	}
}

# METADATA
# title: No new additions to the built-in roles
# custom:
#   id: rbac.growth
#   bad: "rules: [{apiGroups: [*], resources: [*], verbs: [*]}]"
#   good: "rules: [{apiGroups: [apps], resources: [deployments], verbs: [get, list]}]"
#   severity: critical
#   scope: object
#   controls: ["SOC2:CC6.3", "ISO27001:A.8.2", "NIST-800-53:AC-6", "PCI-DSS:7.2.2"]
deny contains result if {
	some [after, before] in pairs
	kind_of(after) == "ClusterRole"
	some target in ["admin", "edit", "cluster-admin"]
	label := sprintf("rbac.authorization.k8s.io/aggregate-to-%s", [target])
	labelled(after, label)
	not labelled(before, label)
	result := {
		"msg": sprintf(`ClusterRole "%s" newly adds to everybody who has the role %s`, [object.get(after.metadata, "name", "?"), target]),
		"fix": sprintf("Remove the label %s and bind the role to those who need it", [label]),
	}
}

# METADATA
# title: Nobody becomes administrator of the cluster by the way
# custom:
#   id: rbac.cluster-admin
#   bad: "roleRef: {kind: ClusterRole, name: cluster-admin}"
#   good: "roleRef: {kind: Role, name: cart-reader}"
#   severity: critical
#   scope: object
#   controls: ["SOC2:CC6.3", "ISO27001:A.8.2", "NIST-800-53:AC-6", "PCI-DSS:7.2.2"]
deny contains result if {
	some [after, before] in pairs
	kind_of(after) in bindings
	after.roleRef.name == "cluster-admin"
	some subject in after.subjects
	not bound(before, after.roleRef, subject)
	result := {
		"msg": sprintf(`%s "%s" newly gives cluster-admin to %s %s`, [kind_of(after), object.get(after.metadata, "name", "?"), object.get(subject, "kind", "?"), object.get(subject, "name", "?")]),
		"fix": "Bind a role that holds what is needed and no more",
	}
}

# METADATA
# title: Nobody unknown gets permissions
# custom:
#   id: rbac.anonymous
#   bad: "subjects: [{kind: Group, name: system:unauthenticated}]"
#   good: "subjects: [{kind: Group, name: shop-developers}]"
#   severity: critical
#   scope: object
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.3", "NIST-800-53:AC-14", "PCI-DSS:7.2.1"]
deny contains result if {
	some [after, before] in pairs
	kind_of(after) in bindings
	some subject in after.subjects
	subject.name in {"system:anonymous", "system:unauthenticated", "system:masters"}
	not bound(before, after.roleRef, subject)
	result := {
		"msg": sprintf(`%s "%s" newly binds a role to %s`, [kind_of(after), object.get(after.metadata, "name", "?"), subject.name]),
		"fix": "Name users, groups or service accounts that are somebody",
	}
}

kind_of(object) := object.kind if startswith(object.apiVersion, "rbac.authorization.k8s.io/")

bound(binding, role, subject) if {
	binding.roleRef == role
	subject in binding.subjects
}

labelled(object, label) if object.metadata.labels[label] == "true"

# What one rule of a role allows, in words; the same words for the same power.
powers(rule) := array.concat(
	[sprintf("allows %s on %s", [any_text(rule, "verbs"), any_text(rule, "resources")]) | "*" in object.get(rule, "verbs", [])],
	array.concat(
		[sprintf("reaches every resource of %s", [concat(", ", object.get(rule, "apiGroups", []))]) |
			some resource in rule.resources
			resource in {"*", "*/*"}
		],
		array.concat(
			[sprintf("may %s %s", [verb, any_text(rule, "resources")]) |
				some verb in rule.verbs
				verb in {"escalate", "bind", "impersonate"}
			],
			[sprintf("reaches %s", [resource]) |
				some resource in rule.resources
				resource in {"nodes/proxy", "serviceaccounts/token", "pods/exec", "pods/attach"}
				some verb in rule.verbs
				verb in {"create", "get", "*"}
			],
		),
	),
)

any_text(rule, field) := "everything" if "*" in object.get(rule, field, [])

any_text(rule, field) := concat(", ", object.get(rule, field, [])) if not "*" in object.get(rule, field, [])
