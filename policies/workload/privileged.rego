# METADATA
# title: Containers stay inside
# description: The baseline of the Pod Security Standards, for whatever holds a pod.
package countersign.workload.privileged

import data.countersign.lib.workload

# What the Pod Security Standards' baseline lets a container add.
harmless := {
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
	"SETPCAP", "SETUID", "SYS_CHROOT",
}

# METADATA
# title: No privileged containers
# custom:
#   id: workload.privileged
#   severity: critical
#   scope: object
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.2", "NIST-800-53:AC-6", "PCI-DSS:2.2.6"]
deny contains result if {
	some [container, field, _] in workload.containers
	some [problem, fix] in problems(container.securityContext)
	result := {"msg": sprintf("%s %s", [workload.label(container, field), problem]), "fix": fix}
}

# METADATA
# title: No privileged pods
# custom:
#   id: workload.privileged
#   severity: critical
#   scope: object
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.2", "NIST-800-53:AC-6", "PCI-DSS:2.2.6"]
deny contains result if {
	some pod in workload.pods
	some [problem, fix] in pod_problems(pod.securityContext)
	result := {"msg": sprintf("the pod %s", [problem]), "fix": fix}
}

problems(context) := array.concat(pod_problems(context), array.concat(
	[["runs privileged", "Remove securityContext.privileged"] | context.privileged == true],
	array.concat(
		[["sees the host's processes as they are", "Remove securityContext.procMount"] | context.procMount == "Unmasked"],
		[[sprintf("adds the capability %s", [capability]), sprintf("Remove %s from securityContext.capabilities.add", [capability])] |
			some capability in context.capabilities.add
			not trim_prefix(upper(capability), "CAP_") in harmless
		],
	),
))

pod_problems(context) := array.concat(
	[["runs as a host process", "Remove securityContext.windowsOptions.hostProcess"] | context.windowsOptions.hostProcess == true],
	[["switches seccomp off", "Set securityContext.seccompProfile.type to RuntimeDefault"] | context.seccompProfile.type == "Unconfined"],
)
