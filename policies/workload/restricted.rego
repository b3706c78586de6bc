# METADATA
# title: What the restricted level asks
# description: The Pod Security Standards' restricted level, beyond the baseline.
# custom:
#   scope: object
#   profile: strict
#   severity: medium
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.2", "NIST-800-53:AC-6", "PCI-DSS:2.2.6"]
package countersign.workload.restricted

import data.countersign.lib.workload

# METADATA
# title: Volumes are of the pod, not of a machine or a network
# description: The others are reached through claims, whose classes somebody looks after. Pod Security Standards, restricted.
# custom:
#   id: workload.volumes
#   bad: "volumes: [{name: data, nfs: {server: files.example.org, path: /}}]"
#   good: "volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]"
deny contains result if {
	some pod in workload.pods
	some volume in pod.volumes
	not permitted(volume)
	kinds := sort([kind | some kind, _ in volume; kind != "name"])
	result := {
		"msg": sprintf(`the volume "%s" is of a kind that is not allowed: %s`, [object.get(volume, "name", "?"), concat(", ", kinds)]),
		"fix": "Use a claim, an emptyDir, a ConfigMap, a Secret, an image or an ephemeral volume",
	}
}

# The API makes an emptyDir of a volume that says nothing.
permitted(volume) if object.keys(volume) == {"name"}

permitted(volume) if {
	some kind in ["configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "downwardAPI", "csi", "ephemeral", "image"]
	is_object(volume[kind])
}

# METADATA
# title: Processes cannot gain more rights than their parent
# description: A setuid program is a way to root. Pod Security Standards, restricted.
# custom:
#   id: workload.privilege-escalation
#   bad: "securityContext: {}"
#   good: "securityContext: {allowPrivilegeEscalation: false}"
deny contains result if {
	some [container, field, pod] in workload.containers
	not container.securityContext.allowPrivilegeEscalation == false
	not workload.windows(pod)
	result := {
		"msg": sprintf("%s may gain more rights than it starts with", [workload.label(container, field)]),
		"fix": "Set securityContext.allowPrivilegeEscalation to false",
	}
}

# METADATA
# title: Containers do not run as root
# description: Said by the container or its pod, and taken back by neither. In a user namespace root is nobody. Pod Security Standards, restricted.
# custom:
#   id: workload.non-root
#   bad: "securityContext: {runAsNonRoot: false}"
#   good: "securityContext: {runAsNonRoot: true}"
deny contains result if {
	some [holder, field] in may_be_root
	result := {
		"msg": sprintf("%s may run as root", [workload.label(holder, field)]),
		"fix": "Set securityContext.runAsNonRoot to true, for the pod or the container",
	}
}

may_be_root := array.concat(
	[[container, field] |
		some [container, field, pod] in workload.containers
		not says_non_root(container, pod)
		not workload.user_namespace(pod)
	],
	[[pod, "pod"] |
		some pod in workload.pods
		pod.securityContext.runAsNonRoot == false
		not workload.user_namespace(pod)
	],
)

says_non_root(container, _) if container.securityContext.runAsNonRoot == true

says_non_root(container, pod) if {
	pod.securityContext.runAsNonRoot == true
	not is_boolean(object.get(container, ["securityContext", "runAsNonRoot"], null))
}

# METADATA
# title: Nobody asks to be user 0
# description: Pod Security Standards, restricted.
# custom:
#   id: workload.root-user
#   bad: "securityContext: {runAsUser: 0}"
#   good: "securityContext: {runAsUser: 10001}"
deny contains result if {
	some [context, container, field, pod] in workload.contexts
	context.runAsUser == 0
	not workload.user_namespace(pod)
	result := {
		"msg": sprintf("%s runs as user 0, which is root", [workload.label(container, field)]),
		"fix": "Remove securityContext.runAsUser, or set it to another user",
	}
}

# METADATA
# title: Containers drop all capabilities
# description: Only NET_BIND_SERVICE may be added again. Pod Security Standards, restricted.
# custom:
#   id: workload.drop-capabilities
#   bad: "capabilities: {drop: [NET_RAW]}"
#   good: "capabilities: {drop: [ALL]}"
deny contains result if {
	some [container, field, pod] in workload.containers
	some problem in capability_problems(object.get(container, ["securityContext", "capabilities"], {}))
	not workload.windows(pod)
	result := {
		"msg": sprintf("%s %s", [workload.label(container, field), problem]),
		"fix": "Set securityContext.capabilities to {drop: [ALL]}, and add no more than NET_BIND_SERVICE",
	}
}

capability_problems(capabilities) := array.concat(
	["does not drop all capabilities" | not "ALL" in object.get(capabilities, "drop", [])],
	[sprintf("adds the capability %v", [capability]) |
		some capability in capabilities.add
		capability != "NET_BIND_SERVICE"
	],
)

# METADATA
# title: Seccomp is switched on
# description: For each container, or for the pod. Pod Security Standards, restricted.
# custom:
#   id: workload.seccomp-set
#   bad: "securityContext: {}"
#   good: "securityContext: {seccompProfile: {type: RuntimeDefault}}"
deny contains result if {
	some [container, field, pod] in workload.containers
	not is_object(object.get(container, ["securityContext", "seccompProfile"], null))
	not object.get(pod, ["securityContext", "seccompProfile", "type"], null) in confined
	not workload.windows(pod)
	result := {
		"msg": sprintf("%s has no seccomp profile", [workload.label(container, field)]),
		"fix": "Set securityContext.seccompProfile.type to RuntimeDefault, for the pod or the container",
	}
}

confined := {"RuntimeDefault", "Localhost"}

# METADATA
# title: /proc stays masked in user namespaces, too
# description: Pod Security Standards, restricted.
# custom:
#   id: workload.proc-mount-masked
#   bad: "{hostUsers: false, securityContext: {procMount: Unmasked}}"
#   good: "{hostUsers: false, securityContext: {procMount: Default}}"
deny contains result if {
	some [context, container, field, pod] in workload.contexts
	is_string(context.procMount)
	context.procMount != "Default"
	workload.user_namespace(pod)
	result := {
		"msg": sprintf("%s sees all of /proc", [workload.label(container, field)]),
		"fix": "Remove securityContext.procMount",
	}
}
