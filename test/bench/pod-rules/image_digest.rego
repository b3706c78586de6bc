package countersign.bench.image_digest

import data.countersign.bench.lib

# METADATA
# title: Images are pinned by digest
# custom: {scope: object}
deny contains msg if {
	some container in lib.containers
	not regex.match(`@sha256:[0-9a-f]{64}$`, container.image)
	msg := sprintf("container %q has image %s without a digest", [container.name, container.image])
}
