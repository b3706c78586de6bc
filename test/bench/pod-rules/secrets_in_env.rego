package countersign.bench.secrets_in_env

import data.countersign.bench.lib

# METADATA
# title: No secrets in plain environment variables
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	some variable in container.env
	variable.value
	regex.match(`(?i)(password|secret|token|api_?key)$`, variable.name)
	msg := sprintf("container %q has %s in plain text", [container.name, variable.name])
}
