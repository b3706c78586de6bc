# METADATA
# title: What environment it is
package countersign.lib.environment

import data.countersign.lib.settings

labels := object.get(input, ["environment", "labels"], {})

# Production is what settings.production names (globs of environment names). Without it, what a label or the name calls so.
production if {
	some pattern in settings.production
	glob.match(pattern, ["/"], input.environment.name)
}

production if {
	not settings.production
	some key in ["tier", "stage", "environment", "env"]
	lower(labels[key]) in {"production", "prod"}
}

production if {
	not settings.production
	regex.match(`(^|[/._-])prod(uction)?($|[/._-])`, lower(input.environment.name))
}

governance if input.environment.name == "governance"
