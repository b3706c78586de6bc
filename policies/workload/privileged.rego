# METADATA
# title: Containers stay inside
# description: |-
#   With host.rego and profiles.rego, the baseline of the Pod Security Standards as of Kubernetes 1.37, for whatever holds a pod;
#   restricted.rego is what the restricted level asks beyond it. Held against Kubernetes' own cases.
# custom:
#   scope: object
#   severity: critical
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.2", "NIST-800-53:AC-6", "PCI-DSS:2.2.6"]
package countersign.workload.privileged

import data.countersign.lib.workload

# METADATA
# title: No privileged containers
# description: A privileged container may do on the node what root may. Pod Security Standards, baseline.
# custom:
#   id: workload.privileged
#   bad: "securityContext: {privileged: true}"
#   good: "securityContext: {privileged: false}"
deny contains result if {
	some [context, container, field, _] in workload.contexts
	context.privileged == true
	result := {"msg": sprintf("%s runs privileged", [workload.label(container, field)]), "fix": "Remove securityContext.privileged"}
}

# METADATA
# title: No capabilities beyond what containers have anyway
# description: Each further one opens a way out of the container. Pod Security Standards, baseline.
# custom:
#   id: workload.capabilities
#   bad: "capabilities: {add: [SYS_ADMIN]}"
#   good: "capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"
deny contains result if {
	some [context, container, field, _] in workload.contexts
	some capability in context.capabilities.add
	not capability in harmless
	result := {
		"msg": sprintf("%s adds the capability %v", [workload.label(container, field), capability]),
		"fix": sprintf("Remove %v from securityContext.capabilities.add", [capability]),
	}
}

harmless := {
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
	"SETPCAP", "SETUID", "SYS_CHROOT",
}

# METADATA
# title: Containers see no more of /proc than others
# description: What is masked there tells of the host and lets it be changed. In a user namespace it is harmless. Pod Security Standards, baseline.
# custom:
#   id: workload.proc-mount
#   bad: "securityContext: {procMount: Unmasked}"
#   good: "securityContext: {procMount: Default}"
deny contains result if {
	some [context, container, field, pod] in workload.contexts
	is_string(context.procMount)
	context.procMount != "Default"
	not workload.user_namespace(pod)
	result := {
		"msg": sprintf("%s sees the host's processes as they are", [workload.label(container, field)]),
		"fix": "Remove securityContext.procMount",
	}
}

# METADATA
# title: No host processes on Windows
# description: They run on the node itself, in no container. Pod Security Standards, baseline.
# custom:
#   id: workload.host-process
#   bad: "windowsOptions: {hostProcess: true}"
#   good: "windowsOptions: {hostProcess: false}"
deny contains result if {
	some [context, container, field, _] in workload.contexts
	context.windowsOptions.hostProcess == true
	result := {
		"msg": sprintf("%s runs as a host process", [workload.label(container, field)]),
		"fix": "Remove securityContext.windowsOptions.hostProcess",
	}
}
