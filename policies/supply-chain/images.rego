# METADATA
# title: What runs is what was looked at
package countersign.supply_chain.images

import data.countersign.lib.image
import data.countersign.lib.settings

# METADATA
# title: Images are pinned by digest
# description: A tag can point to something else tomorrow, without a commit.
# custom:
#   id: images.pinned
#   bad: "image: registry.example.org/cart:latest"
#   good: "image: registry.example.org/cart@sha256:…"
#   severity: high
#   scope: object
#   controls: ["SOC2:CC8.1", "PCI-DSS:6.3.2", "ISO27001:A.8.32", "NIST-800-53:SI-7"]
deny contains result if {
	some [reference, holder, field] in image.used
	not image.pinned(reference)
	result := {
		"msg": sprintf(`image "%s" of %s is not pinned by digest`, [reference, image.user(holder, field)]),
		"fix": sprintf("use %s@sha256:… (docker buildx imagetools inspect %s shows it)", [split(reference, "@")[0], split(reference, "@")[0]]),
	}
}

# METADATA
# title: Images come from allowed registries
# description: settings.registries lists hosts, or hosts with a path. Without it the rule is silent.
# custom:
#   id: images.registries
#   bad: "image: evil.example.com/cart@sha256:…"
#   good: "image: registry.example.org/cart@sha256:…"
#   severity: high
#   scope: object
#   controls: ["SOC2:CC6.8", "PCI-DSS:6.3.2", "ISO27001:A.5.21", "NIST-800-53:SR-3"]
deny contains result if {
	is_array(settings.registries)
	some [reference, holder, field] in image.used
	not allowed(reference)
	result := {
		"msg": sprintf(`image "%s" of %s comes from no allowed registry`, [reference, image.user(holder, field)]),
		"fix": sprintf("Take it from one of: %s", [concat(", ", settings.registries)]),
	}
}

allowed(reference) if {
	some registry in settings.registries
	image.under(image.name(reference), registry)
}
