package countersign.bench.host_ports

import data.countersign.bench.lib

# METADATA
# title: No ports of the host
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	some port in container.ports
	port.hostPort > 0
	msg := sprintf("container %q takes port %d of the host", [container.name, port.hostPort])
}
