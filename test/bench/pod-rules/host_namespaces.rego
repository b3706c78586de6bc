package countersign.bench.host_namespaces

import data.countersign.bench.lib

# METADATA
# title: No namespaces of the host
# custom: {scope: object}
deny contains msg if {
	some field in ["hostNetwork", "hostPID", "hostIPC"]
	lib.pod[field] == true
	msg := sprintf("the pod sets %s", [field])
}
