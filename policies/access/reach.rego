# METADATA
# title: Access stays with those who need it
# description: Only what a change adds counts; what was there before was judged before.
# custom:
#   scope: object
#   profile: strict
#   severity: high
#   controls: ["SOC2:CC6.3", "ISO27001:A.8.2", "NIST-800-53:AC-6", "PCI-DSS:7.2.2"]
package countersign.access.reach

import data.countersign.access.rbac
import data.countersign.lib.objects

roles := [[after, before] |
	some [after, before] in objects.written
	rbac.kind_of(after) in rbac.roles
]

bindings := [[after, before] |
	some [after, before] in objects.written
	rbac.kind_of(after) in rbac.bindings
]

# METADATA
# title: No new way to read Secrets
# description: get, list and watch all show values; list of one name, too.
# custom:
#   id: rbac.secrets
#   bad: "rules: [{apiGroups: [\"\"], resources: [secrets], verbs: [get, list]}]"
#   good: "rules: [{apiGroups: [\"\"], resources: [secrets], resourceNames: [cart], verbs: [get]}]"
deny contains result if {
	some [after, before] in roles
	some rule in after.rules
	reads_secrets(rule)
	not had(before, rule)
	result := {
		"msg": sprintf("%s newly reads Secrets", [objects.name(after)]),
		"fix": "Mount what is needed, or allow get for resourceNames",
	}
}

reads_secrets(rule) if {
	some resource in rule.resources
	resource in {"secrets", "*"}
	some group in rule.apiGroups
	group in {"", "*"}
	some verb in rule.verbs
	verb in {"get", "list", "watch", "*"}
	not names_only(rule)
}

names_only(rule) if {
	count(rule.resourceNames) > 0
	every verb in rule.verbs {
		verb == "get"
	}
}

had(before, rule) if rule in before.rules

# METADATA
# title: No new power over pods, certificates and admission
# description: Each of these leads on to more than it says.
# custom:
#   id: rbac.sensitive
#   bad: "rules: [{apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests/approval], verbs: [update]}]"
#   good: "rules: [{apiGroups: [\"\"], resources: [pods], verbs: [get, list]}]"
deny contains result if {
	some [after, before] in roles
	some rule in after.rules
	some resource in rule.resources
	resource in sensitive
	some verb in rule.verbs
	not verb in {"get", "list", "watch"}
	not had(before, rule)
	result := {
		"msg": sprintf("%s newly may %s %s", [objects.name(after), verb, resource]),
		"fix": "Leave it to the administrators of the cluster",
	}
}

sensitive := {
	"pods/portforward", "pods/ephemeralcontainers", "certificatesigningrequests/approval", "signers", "mutatingwebhookconfigurations",
	"validatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings", "namespaces/finalize", "apiservices",
}

# METADATA
# title: No new role for everybody
# description: Every user, or every account of the cluster, present and to come.
# custom:
#   id: rbac.everybody
#   bad: "subjects: [{kind: Group, name: system:authenticated}]"
#   good: "subjects: [{kind: Group, name: shop-developers}]"
deny contains result if {
	some [after, before] in bindings
	some subject in after.subjects
	everybody(subject)
	not rbac.bound(before, after.roleRef, subject)
	result := {"msg": sprintf("%s newly binds a role to %s", [objects.name(after), subject.name]), "fix": "Name those who need it"}
}

everybody(subject) if subject.name in {"system:authenticated", "system:serviceaccounts"}

everybody(subject) if startswith(subject.name, "system:serviceaccounts:")

# METADATA
# title: No new role for default accounts
# description: Every pod that names no account has it.
# custom:
#   id: rbac.default-account
#   severity: medium
#   controls: ["SOC2:CC6.3", "ISO27001:A.5.15", "NIST-800-53:AC-6", "PCI-DSS:7.2.5"]
#   bad: "subjects: [{kind: ServiceAccount, name: default, namespace: shop}]"
#   good: "subjects: [{kind: ServiceAccount, name: cart, namespace: shop}]"
deny contains result if {
	some [after, before] in bindings
	some subject in after.subjects
	subject.kind == "ServiceAccount"
	subject.name == "default"
	not rbac.bound(before, after.roleRef, subject)
	result := {
		"msg": sprintf("%s newly binds a role to the default account of %s", [objects.name(after), object.get(subject, "namespace", "its namespace")]),
		"fix": "Make an account for the workload, and bind that",
	}
}

# METADATA
# title: No tokens that never expire
# description: A Secret of this type holds a token for good. Pods get short-lived ones; others can ask for theirs.
# custom:
#   id: access.lasting-token
#   controls: ["SOC2:CC6.1", "ISO27001:A.5.17", "NIST-800-53:IA-5", "PCI-DSS:8.6.3"]
#   bad: "kind: Secret, type: kubernetes.io/service-account-token"
#   good: "kubectl create token cart"
deny contains result if {
	some [after, _] in objects.written
	after.kind == "Secret"
	after.type == "kubernetes.io/service-account-token"
	result := {
		"msg": sprintf("%s makes a token that never expires", [objects.name(after)]),
		"fix": "Use a projected serviceAccountToken volume, or kubectl create token",
	}
}
