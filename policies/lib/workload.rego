# METADATA
# title: Pods in whatever holds them
# description: |-
#   A pod can hide in a Deployment, a CronJob, a List or a resource of somebody's own. Where Kubernetes' own kinds keep
#   theirs is known; in everything else the shape counts: every list under one of the three container fields, wherever it is.
package countersign.lib.workload

container_fields := ["containers", "initContainers", "ephemeralContainers"]

# What the judged changes write. An array, as all of these: putting whole objects into a set is slow.
written := [change.after |
	some change in input.changes
	change.op != "delete"
]

# Every pod spec, with the metadata that its pods get: [spec, metadata].
templates := [template |
	some object in written
	some template in templates_of(object)
]

# Every pod spec.
pods := [pod | some [pod, _] in templates]

# Every container of every pod spec: [container, the field it is in, its pod spec].
containers := [[container, field, pod] |
	some pod in pods
	some field in container_fields
	some container in pod[field]
]

# Every security context, of pods and of containers: [context, its container or pod, the field that is in or "pod", the pod spec].
contexts := array.concat(
	[[pod.securityContext, pod, "pod", pod] |
		some pod in pods
		is_object(pod.securityContext)
	],
	[[container.securityContext, container, field, pod] |
		some [container, field, pod] in containers
		is_object(container.securityContext)
	],
)

# Where Kubernetes' own kinds keep their pod. Looking everywhere costs ten times as much.
keeps := {
	"v1": {"Pod": "spec", "ReplicationController": "template", "PodTemplate": "bare"},
	"apps/v1": {"Deployment": "template", "ReplicaSet": "template", "StatefulSet": "template", "DaemonSet": "template"},
	"batch/v1": {"Job": "template", "CronJob": "job"},
}

# And which have none; some of these are very large.
podless := {
	"v1": {"ConfigMap", "Secret", "Service", "ServiceAccount", "Namespace", "PersistentVolume", "PersistentVolumeClaim"},
	"networking.k8s.io/v1": {"Ingress", "NetworkPolicy"},
	"rbac.authorization.k8s.io/v1": {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"},
	"apiextensions.k8s.io/v1": {"CustomResourceDefinition"},
}

templates_of(object) := templates_at(place, object) if {
	place := keeps[object.apiVersion][object.kind]
} else := [] if {
	object.kind in podless[object.apiVersion]
} else := [[spec, beside(object, path)] |
	walk(object, [path, spec])
	is_object(spec)
	some field in container_fields
	is_array(spec[field])
	not counted(spec, field)
]

templates_at("spec", object) := [template_of(object)]

templates_at("bare", object) := [template_of(object.template)]

templates_at("template", object) := [template_of(object.spec.template)]

templates_at("job", object) := [template_of(object.spec.jobTemplate.spec.template)]

template_of(holder) := [holder.spec, object.get(holder, "metadata", {})]

# The metadata that stands beside a spec.
beside(holder, path) := object.get(holder, array.concat(array.slice(path, 0, count(path) - 1), ["metadata"]), {})

# A pod spec with two of the fields is still one.
counted(spec, "initContainers") if is_array(spec.containers)

counted(spec, "ephemeralContainers") if is_array(spec.containers)

counted(spec, "ephemeralContainers") if is_array(spec.initContainers)

# How a container, or a pod, is called in messages.
label(_, "pod") := "the pod"

label(container, "containers") := sprintf(`container "%s"`, [object.get(container, "name", "?")])

label(container, "initContainers") := sprintf(`init container "%s"`, [object.get(container, "name", "?")])

label(container, "ephemeralContainers") := sprintf(`ephemeral container "%s"`, [object.get(container, "name", "?")])

# Pods that say they run on Windows have no Linux settings to make; those in a user namespace may be root inside it.
windows(pod) if pod.os.name == "windows"

user_namespace(pod) if pod.hostUsers == false
