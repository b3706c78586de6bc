package countersign.bench.sysctls

import data.countersign.bench.lib

safe := {"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range"}

# METADATA
# title: Only safe sysctls
# custom: {scope: object}
deny contains msg if {
	some sysctl in lib.pod.securityContext.sysctls
	not sysctl.name in safe
	msg := sprintf("sysctl %s is not safe", [sysctl.name])
}
