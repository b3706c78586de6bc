package countersign.bench.image_latest

import data.countersign.bench.lib

# METADATA
# title: No image is called latest
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	floats(container.image)
	msg := sprintf("container %q has image %s", [container.name, container.image])
}

floats(image) if endswith(image, ":latest")

floats(image) if {
	parts := split(image, "/")
	name := parts[count(parts) - 1]
	not contains(name, ":")
	not contains(name, "@")
}
