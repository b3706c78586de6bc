package countersign.bench.image_registry

import data.countersign.bench.lib

registries := ["registry.example.org/", "ghcr.io/example/"]

# METADATA
# title: Images come from our registries
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	not from_registry(container.image)
	msg := sprintf("container %q has image %s of another registry", [container.name, container.image])
}

from_registry(image) if {
	some registry in registries
	startswith(image, registry)
}
