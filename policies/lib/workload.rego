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

# Every pod spec.
pods := [pod |
	some object in written
	some pod in pods_of(object)
]

# Every container of every pod spec: [container, the field it is in, its pod spec].
containers := [[container, field, pod] |
	some pod in pods
	some field in container_fields
	some container in pod[field]
]

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

pods_of(object) := pods_at(place, object) if {
	place := keeps[object.apiVersion][object.kind]
} else := [] if {
	object.kind in podless[object.apiVersion]
} else := [spec |
	walk(object, [_, spec])
	is_object(spec)
	some field in container_fields
	is_array(spec[field])
	not counted(spec, field)
]

pods_at("spec", object) := [object.spec]

pods_at("bare", object) := [object.template.spec]

pods_at("template", object) := [object.spec.template.spec]

pods_at("job", object) := [object.spec.jobTemplate.spec.template.spec]

# A pod spec with two of the fields is still one.
counted(spec, "initContainers") if is_array(spec.containers)

counted(spec, "ephemeralContainers") if is_array(spec.containers)

counted(spec, "ephemeralContainers") if is_array(spec.initContainers)

# How a container is called in messages.
label(container, "containers") := sprintf(`container "%s"`, [object.get(container, "name", "?")])

label(container, "initContainers") := sprintf(`init container "%s"`, [object.get(container, "name", "?")])

label(container, "ephemeralContainers") := sprintf(`ephemeral container "%s"`, [object.get(container, "name", "?")])
