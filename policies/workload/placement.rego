# METADATA
# title: Objects are where and what they should be
# custom:
#   scope: object
#   severity: medium
package countersign.workload.placement

import data.countersign.lib.objects
import data.countersign.lib.settings

# METADATA
# title: Nothing lies in the namespace default
# description: Permissions, policies and quotas belong to a namespace that somebody owns.
# custom:
#   id: objects.default-namespace
#   profile: strict
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.22", "NIST-800-53:AC-4", "NIST-800-53:CM-6"]
#   bad: "metadata: {name: cart, namespace: default}"
#   good: "metadata: {name: cart, namespace: shop}"
deny contains result if {
	some change in input.changes
	change.op == "create"
	change.object.namespace == "default"
	not change.object.name in {"kubernetes", "default"}
	result := {
		"msg": sprintf(`%s "%s" would lie in the namespace default`, [change.object.kind, change.object.name]),
		"fix": "Give it a namespace of its own",
	}
}

# METADATA
# title: The cluster's own namespaces are left alone
# description: What runs in kube-system is trusted by everything else.
# custom:
#   id: objects.system-namespace
#   profile: strict
#   severity: high
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.2", "NIST-800-53:CM-5", "NIST-800-53:SC-2"]
#   bad: "metadata: {name: agent, namespace: kube-system}"
#   good: "metadata: {name: agent, namespace: monitoring}"
deny contains result if {
	some change in input.changes
	change.object.namespace in {"kube-system", "kube-public", "kube-node-lease"}
	result := {
		"msg": sprintf(`%s "%s" lies in %s`, [change.object.kind, change.object.name, change.object.namespace]),
		"fix": "Put it into a namespace of its own; if it belongs there, ask for an exception that names this object",
	}
}

# METADATA
# title: Pods are somebody's
# description: A bare pod is gone with its node. Pods of hooks and of mirror files may be bare.
# custom:
#   id: workload.bare-pod
#   profile: strict
#   severity: low
#   controls: ["SOC2:A1.2", "ISO27001:A.8.14", "NIST-800-53:CP-10"]
#   bad: "kind: Pod"
#   good: "kind: Deployment"
deny contains result if {
	some [after, _] in objects.written
	after.kind == "Pod"
	after.apiVersion == "v1"
	hooks := [key |
		some key, _ in after.metadata.annotations
		key in {"helm.sh/hook", "argocd.argoproj.io/hook", "kubernetes.io/config.mirror"}
	]
	count(hooks) == 0
	result := {"msg": sprintf("%s is a bare pod", [objects.name(after)]), "fix": "Let a Deployment, StatefulSet, DaemonSet or Job make it"}
}

# METADATA
# title: Objects have the labels that were agreed on
# description: settings.labels names them (owner, cost centre, data class). Without it the rule is silent.
# custom:
#   id: objects.labels
#   severity: low
#   controls: ["SOC2:CC6.1", "ISO27001:A.5.9", "NIST-800-53:CM-8"]
#   bad: "metadata: {name: cart}"
#   good: "metadata: {name: cart, labels: {team: shop}}"
deny contains result if {
	count(settings.labels) > 0
	some [after, _] in objects.written
	missing := [label |
		some label in settings.labels
		object.get(object_labels(after), label, "") == ""
	]
	count(missing) > 0
	result := {
		"msg": sprintf("%s has no label %s", [objects.name(after), concat(", ", missing)]),
		"fix": sprintf("Add to metadata.labels: %s", [concat(", ", missing)]),
	}
}

object_labels(after) := after.metadata.labels if is_object(after.metadata.labels)

else := {}

# METADATA
# title: No API versions that the cluster does not serve any more
# description: settings.kubernetes is the version of the targets, for example "1.34". Without it the rule is silent.
# custom:
#   id: objects.removed-api
#   severity: high
#   controls: ["SOC2:CC7.1", "ISO27001:A.8.8", "NIST-800-53:SA-22", "PCI-DSS:6.3.3"]
#   bad: "apiVersion: policy/v1beta1, kind: PodDisruptionBudget"
#   good: "apiVersion: policy/v1, kind: PodDisruptionBudget"
deny contains result if {
	minor := settings.kubernetes
	some [after, _] in objects.written
	since := removed_in(removed[after.apiVersion], after.kind)
	minor >= since
	result := {
		"msg": sprintf("%s of %s is not served since Kubernetes 1.%d", [objects.name(after), after.apiVersion, since]),
		"fix": "Write it in the version that took its place (kubectl convert, or the deprecated API migration guide of Kubernetes)",
	}
}

removed_in(kinds, kind) := object.get(kinds, kind, kinds["*"])

# By API version and kind; "*" is every other kind of it. Minor version in which it was gone.
removed := {
	"extensions/v1beta1": {"Ingress": 22, "*": 16},
	"apps/v1beta1": {"*": 16},
	"apps/v1beta2": {"*": 16},
	"admissionregistration.k8s.io/v1beta1": {"MutatingWebhookConfiguration": 22, "ValidatingWebhookConfiguration": 22, "*": 1000},
	"apiextensions.k8s.io/v1beta1": {"*": 22},
	"apiregistration.k8s.io/v1beta1": {"*": 22},
	"authentication.k8s.io/v1beta1": {"TokenReview": 22, "*": 1000},
	"authorization.k8s.io/v1beta1": {"*": 22},
	"certificates.k8s.io/v1beta1": {"CertificateSigningRequest": 22, "*": 1000},
	"coordination.k8s.io/v1beta1": {"Lease": 22, "*": 1000},
	"networking.k8s.io/v1beta1": {"Ingress": 22, "IngressClass": 22, "*": 1000},
	"rbac.authorization.k8s.io/v1beta1": {"*": 22},
	"scheduling.k8s.io/v1beta1": {"PriorityClass": 22, "*": 1000},
	"storage.k8s.io/v1beta1": {"CSIDriver": 22, "CSINode": 22, "StorageClass": 22, "VolumeAttachment": 22, "CSIStorageCapacity": 27, "*": 1000},
	"batch/v1beta1": {"*": 25},
	"discovery.k8s.io/v1beta1": {"*": 25},
	"events.k8s.io/v1beta1": {"*": 25},
	"autoscaling/v2beta1": {"*": 25},
	"autoscaling/v2beta2": {"*": 26},
	"policy/v1beta1": {"*": 25},
	"node.k8s.io/v1beta1": {"*": 25},
	"flowcontrol.apiserver.k8s.io/v1beta1": {"*": 26},
	"flowcontrol.apiserver.k8s.io/v1beta2": {"*": 29},
	"flowcontrol.apiserver.k8s.io/v1beta3": {"*": 32},
}

# METADATA
# title: Claims say which class of storage they want
# description: Without, the cluster's default decides, and with it encryption, backup and what happens to the data afterwards.
# custom:
#   id: storage.class
#   profile: strict
#   severity: low
#   controls: ["SOC2:C1.1", "ISO27001:A.8.9", "NIST-800-53:SC-28", "NIST-800-53:CP-9"]
#   bad: "kind: PersistentVolumeClaim, spec: {resources: {requests: {storage: 1Gi}}}"
#   good: "kind: PersistentVolumeClaim, spec: {storageClassName: encrypted, resources: {requests: {storage: 1Gi}}}"
deny contains result if {
	some [after, _] in objects.written
	some claim in claims(after)
	not claim.spec.storageClassName
	not claim.spec.volumeName
	result := {
		"msg": sprintf("%s claims storage of no class", [objects.name(after)]),
		"fix": "Set storageClassName",
	}
}

claims(after) := [after] if after.kind == "PersistentVolumeClaim"

claims(after) := after.spec.volumeClaimTemplates if after.kind == "StatefulSet"
