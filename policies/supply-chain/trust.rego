# METADATA
# title: Images come from where they stay
# custom:
#   scope: object
#   severity: medium
#   controls: ["SOC2:CC6.8", "ISO27001:A.5.21", "NIST-800-53:SR-3", "PCI-DSS:6.3.2"]
package countersign.supply_chain.trust

import data.countersign.lib.image
import data.countersign.lib.workload

# METADATA
# title: No images from registries that forget
# description: What lies on somebody's machine or in an ephemeral registry is there for nobody else, or for anybody to replace.
# custom:
#   id: images.ephemeral
#   severity: high
#   bad: "image: ttl.sh/cart:1h"
#   good: "image: registry.example.org/shop/cart@sha256:…"
deny contains result if {
	some [reference, holder, field] in image.used
	forgetful(lower(split(reference, "/")[0]))
	result := {
		"msg": sprintf(`image "%s" of %s comes from a registry that does not keep it`, [reference, image.user(holder, field)]),
		"fix": "Push it to a registry of your own, and name that",
	}
}

# Without a regular expression: every image of every object comes by here.
forgetful(host) if host in {"ttl.sh", "localhost", "127.0.0.1", "host.docker.internal", "kind-registry"}

forgetful(host) if {
	some beginning in ["ttl.sh:", "localhost:", "127.0.0.1:", "host.docker.internal:", "kind-registry:"]
	startswith(host, beginning)
}

forgetful(host) if {
	some ending in [".ngrok.io", ".ngrok.app", ".ngrok-free.app"]
	endswith(host, ending)
}

# METADATA
# title: No images from registries that were closed
# description: k8s.gcr.io is frozen since 2023 and gets no security updates; GitHub's registry of before is gone.
# custom:
#   id: images.retired
#   profile: strict
#   controls: ["SOC2:CC7.1", "ISO27001:A.8.8", "NIST-800-53:SA-22", "PCI-DSS:6.3.3"]
#   bad: "image: k8s.gcr.io/pause:3.2"
#   good: "image: registry.k8s.io/pause@sha256:…"
deny contains result if {
	some [reference, holder, field] in image.used
	full := image.name(reference)
	some [registry, instead] in retired
	image.under(full, registry)
	result := {
		"msg": sprintf(`image "%s" of %s comes from %s, which is closed`, [reference, image.user(holder, field), registry]),
		"fix": sprintf("Use %s", [instead]),
	}
}

retired := [["k8s.gcr.io", "registry.k8s.io"], ["docker.pkg.github.com", "ghcr.io"]]

# METADATA
# title: No images whose tag says nothing
# description: For those who do not pin by digest. No tag is latest.
# custom:
#   id: images.tagged
#   profile: strict
#   controls: ["SOC2:CC8.1", "ISO27001:A.8.32", "NIST-800-53:CM-2", "PCI-DSS:6.3.2"]
#   bad: "image: registry.example.org/cart:latest"
#   good: "image: registry.example.org/cart:1.4.2"
deny contains result if {
	some [reference, holder, field] in image.used
	not contains(reference, "@")
	tag(reference) in {"", "latest"}
	result := {
		"msg": sprintf(`image "%s" of %s does not say which version it is`, [reference, image.user(holder, field)]),
		"fix": "Name a version, or better a digest",
	}
}

tag(reference) := lower(parts[1]) if {
	segments := split(reference, "/")
	parts := split(segments[count(segments) - 1], ":")
	count(parts) == 2
} else := ""

# METADATA
# title: A tag is looked up at each start
# description: A node that has an old image of the same tag would go on with that, and without asking whether it may. Pinned images are what they are.
# custom:
#   id: images.pull-policy
#   profile: strict
#   severity: low
#   controls: ["SOC2:CC6.8", "ISO27001:A.8.19", "NIST-800-53:CM-7(5)"]
#   bad: "{image: \"registry.example.org/cart:1.4\", imagePullPolicy: IfNotPresent}"
#   good: "{image: \"registry.example.org/cart:1.4\", imagePullPolicy: Always}"
deny contains result if {
	some [container, field, _] in workload.containers
	not image.pinned(object.get(container, "image", ""))
	policy := object.get(container, "imagePullPolicy", "IfNotPresent")
	policy != "Always"
	result := {
		"msg": sprintf("%s takes whatever image of that tag the node has", [workload.label(container, field)]),
		"fix": "Set imagePullPolicy to Always, or pin the image by digest",
	}
}
