# METADATA
# title: What the kernel keeps containers from stays switched on
# custom:
#   scope: object
#   severity: high
#   controls: ["SOC2:CC6.1", "ISO27001:A.8.9", "NIST-800-53:SC-39", "NIST-800-53:CM-6", "PCI-DSS:2.2.6"]
package countersign.workload.profiles

import data.countersign.lib.workload

# METADATA
# title: Seccomp is not switched off
# description: Without it every system call is open. Pod Security Standards, baseline.
# custom:
#   id: workload.seccomp
#   bad: "seccompProfile: {type: Unconfined}"
#   good: "seccompProfile: {type: RuntimeDefault}"
deny contains result if {
	some [context, container, field, _] in workload.contexts
	is_object(context.seccompProfile)
	type := object.get(context.seccompProfile, "type", "")
	not type in confined
	result := {
		"msg": sprintf("%s has the seccomp profile %s", [workload.label(container, field), quoted(type)]),
		"fix": "Set securityContext.seccompProfile.type to RuntimeDefault or Localhost",
	}
}

confined := {"RuntimeDefault", "Localhost"}

# METADATA
# title: AppArmor is not switched off
# description: By field or by the annotation of before. Pod Security Standards, baseline.
# custom:
#   id: workload.apparmor
#   bad: "appArmorProfile: {type: Unconfined}"
#   good: "appArmorProfile: {type: RuntimeDefault}"
deny contains result if {
	some [who, type] in unconfined_by_apparmor
	result := {
		"msg": sprintf("%s has the AppArmor profile %s", [who, quoted(type)]),
		"fix": "Set securityContext.appArmorProfile.type to RuntimeDefault or Localhost (an annotation: runtime/default or localhost/…)",
	}
}

unconfined_by_apparmor := array.concat(
	[[workload.label(container, field), type] |
		some [context, container, field, _] in workload.contexts
		is_object(context.appArmorProfile)
		type := object.get(context.appArmorProfile, "type", "")
		not type in confined
	],
	[[sprintf("the annotation %s", [key]), value] |
		some [_, metadata] in workload.templates
		some key, value in metadata.annotations
		startswith(key, "container.apparmor.security.beta.kubernetes.io/")
		not apparmor_annotation(value)
	],
)

apparmor_annotation(value) if value in {"", "runtime/default"}

apparmor_annotation(value) if startswith(value, "localhost/")

# METADATA
# title: SELinux labels are those of containers
# description: Other types reach the host's files; user and role are for nobody to choose. Pod Security Standards, baseline.
# custom:
#   id: workload.selinux
#   bad: "seLinuxOptions: {type: spc_t}"
#   good: "seLinuxOptions: {type: container_t}"
deny contains result if {
	some [context, container, field, _] in workload.contexts
	is_object(context.seLinuxOptions)
	some key, value in context.seLinuxOptions
	not selinux_allowed(key, value)
	result := {
		"msg": sprintf("%s has the SELinux %s %s", [workload.label(container, field), key, quoted(value)]),
		"fix": sprintf("Remove securityContext.seLinuxOptions.%s", [key]),
	}
}

selinux_allowed("level", _)

selinux_allowed(_, value) if value in {"", null}

selinux_allowed("type", value) if value in {"container_t", "container_init_t", "container_kvm_t", "container_engine_t"}

# METADATA
# title: Only sysctls that stay in the pod
# description: Others change the node for everybody on it. Pod Security Standards, baseline.
# custom:
#   id: workload.sysctls
#   bad: "sysctls: [{name: kernel.msgmax, value: \"65536\"}]"
#   good: "sysctls: [{name: net.ipv4.tcp_syncookies, value: \"1\"}]"
deny contains result if {
	some pod in workload.pods
	some sysctl in pod.securityContext.sysctls
	not object.get(sysctl, "name", null) in safe_sysctls
	result := {
		"msg": sprintf("the pod sets the sysctl %v", [object.get(sysctl, "name", "?")]),
		"fix": "Remove it, or let those who run the nodes set it",
	}
}

safe_sysctls := {
	"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_rmem", "net.ipv4.tcp_slow_start_after_idle",
	"net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
}

quoted(value) := sprintf(`"%v"`, [value])
