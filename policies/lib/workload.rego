# METADATA
# title: Pods in whatever holds them
# description: |-
#   A pod can hide in a Deployment, a CronJob, a List or a resource of somebody's own. What counts is the shape, not the
#   kind: every list under one of the three container fields, wherever it is.
package countersign.lib.workload

container_fields := {"containers", "initContainers", "ephemeralContainers"}

# These have no pods in them, and some are very large.
podless := {
	"ConfigMap", "Secret", "CustomResourceDefinition", "Service", "Ingress", "ServiceAccount", "Role", "ClusterRole",
	"RoleBinding", "ClusterRoleBinding", "Namespace", "NetworkPolicy", "PersistentVolumeClaim",
}

# What the judged changes write. An array, as all of these: putting whole objects into a set is slow.
written := [change.after |
	some change in input.changes
	change.op != "delete"
	not change.after.kind in podless
]

# Every pod spec.
pods := [spec |
	some object in written
	walk(object, [_, spec])
	some field in container_fields
	is_array(spec[field])
	not earlier(spec, field)
]

# A pod spec with two of the fields is still one.
earlier(spec, "initContainers") if is_array(spec.containers)

earlier(spec, "ephemeralContainers") if is_array(spec.containers)

earlier(spec, "ephemeralContainers") if is_array(spec.initContainers)

# Every container of every pod spec: [container, the field it is in, its pod spec].
containers := [[container, field, pod] |
	some pod in pods
	some field in ["containers", "initContainers", "ephemeralContainers"]
	is_array(pod[field])
	some container in pod[field]
]

# How a container is called in messages.
label(container, "containers") := sprintf("container %q", [object.get(container, "name", "?")])

label(container, "initContainers") := sprintf("init container %q", [object.get(container, "name", "?")])

label(container, "ephemeralContainers") := sprintf("ephemeral container %q", [object.get(container, "name", "?")])
