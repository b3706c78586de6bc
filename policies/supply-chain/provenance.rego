# METADATA
# title: Images are what their builder says
# description: Attestations of the repository are verified by Countersign under the keys of .countersign/attesters.yaml; without that file these rules are silent.
# custom:
#   scope: object
#   severity: high
#   controls: ["SOC2:CC8.1", "ISO27001:A.8.28", "NIST-800-53:SR-4(3)", "PCI-DSS:6.3.2"]
package countersign.supply_chain.provenance

import data.countersign.lib.image
import data.countersign.lib.settings

slsa := "https://slsa.dev/provenance/v1"

# [reference, what uses it, its field, its digest or ""]; none where nobody is named whom to believe.
used := [[reference, holder, field, digest(reference)] |
	input.attestations
	some [reference, holder, field] in image.used
]

digest(reference) := split(reference, "@sha256:")[1] if contains(reference, "@sha256:")
else := ""

verified(hash) if {
	some attestation in input.attestations
	attestation.status == "verified"
	attestation.predicateType == slsa
	some subject in attestation.subjects
	subject.sha256 == hash
}

rejected(hash) := [attestation |
	some attestation in input.attestations
	attestation.status == "rejected"
	some subject in attestation.subjects
	subject.sha256 == hash
]

# METADATA
# title: No image on the word of a forged attestation
# description: An attestation that names the image's digest does not hold - its signature, its key, its builder, or what it states - and no other one does.
# custom:
#   id: provenance.genuine
#   severity: critical
#   bad: "image: registry.example.org/shop/cart@sha256:… with an attestation that nobody known has signed"
#   good: "image: registry.example.org/shop/cart@sha256:… with provenance by the key of its builder"
deny contains result if {
	some [reference, holder, field, hash] in used
	hash != ""
	not verified(hash)
	some attestation in rejected(hash)
	result := {
		"msg": sprintf(`what attests image "%s" of %s does not hold: %s`, [reference, image.user(holder, field), attestation.reason]),
		"fix": "Build it again with a builder whose key is in .countersign/attesters.yaml, and commit what that attests",
		"attestation": sprintf("%s:%d", [attestation.path, attestation.line]),
		"fault": attestation.fault,
	}
}

# METADATA
# title: Images have provenance
# description: Each image has SLSA provenance v1 of its very digest. Setting provenance names the registries or paths that this is asked of; all, without it.
# custom:
#   id: provenance.required
#   profile: strict
#   bad: "image: registry.example.org/shop/cart@sha256:… that nothing is attested of"
#   good: "image: registry.example.org/shop/cart@sha256:… with attestations/cart.intoto.jsonl"
deny contains result if {
	some [reference, holder, field, hash] in used
	asked(reference)
	not verified(hash)
	count(rejected(hash)) == 0
	result := {
		"msg": sprintf(`image "%s" of %s has no provenance%s`, [reference, image.user(holder, field), because(reference, hash)]),
		"fix": "Commit its builder's attestation of this digest into the attestations folder",
	}
}

asked(_) if not settings.provenance

asked(reference) if {
	some place in settings.provenance
	image.under(image.name(reference), place)
}

because(reference, hash) := reasons[0] if {
	reasons := array.concat(array.concat(unpinned(hash), elsewhere(reference)), array.concat(stated(hash), [""]))
}

unpinned(hash) := [": it is not pinned by digest, so none can be of it" | hash == ""]

# Provenance of the same image, and of another digest.
elsewhere(reference) := [sprintf(": %s is of %s", [attestation.path, concat(", ", sort(others))]) |
	some attestation in input.attestations
	attestation.predicateType == slsa
	some subject in attestation.subjects
	image.name(subject.name) == image.name(reference)
	others := {sprintf("sha256:%s", [substring(other.sha256, 0, 12)]) | some other in attestation.subjects}
]

stated(hash) := [sprintf(": what is attested of it is %s", [attestation.predicateType]) |
	some attestation in input.attestations
	attestation.status == "verified"
	some subject in attestation.subjects
	subject.sha256 == hash
]

# METADATA
# title: Images are built from our sources
# description: What verified provenance says it was built from begins with one of setting build_sources; without that, the rule is silent.
# custom:
#   id: provenance.sources
#   controls: ["SOC2:CC8.1", "ISO27001:A.8.28", "NIST-800-53:SR-4", "PCI-DSS:6.2.4"]
#   bad: "provenance whose resolvedDependencies are git+https://github.com/somebody/fork"
#   good: "provenance whose resolvedDependencies are git+https://github.com/acme/shop"
deny contains result if {
	is_array(settings.build_sources)
	some [reference, holder, field, hash] in used
	some attestation in input.attestations
	attestation.status == "verified"
	attestation.predicateType == slsa
	some subject in attestation.subjects
	subject.sha256 == hash
	some foreign in foreign_sources(attestation)
	result := {
		"msg": sprintf(`image "%s" of %s was built from %s`, [reference, image.user(holder, field), foreign]),
		"fix": "Build it from a source under build_sources, or add the source there",
		"attestation": sprintf("%s:%d", [attestation.path, attestation.line]),
	}
}

# Provenance that names no source proves nothing about it.
foreign_sources(attestation) := ["what it does not say"] if count(object.get(attestation, "sources", [])) == 0
else := [source.uri |
	some source in attestation.sources
	not ours(source.uri)
]

ours(uri) if {
	some place in settings.build_sources
	beginning := trim_right(place, "/")
	begins(uri, beginning)
}

# At a boundary: acme/shop is not acme/shop-fork.
begins(uri, beginning) if uri == beginning

begins(uri, beginning) if {
	some boundary in ["/", "@", "#", "?", ".git"]
	startswith(uri, concat("", [beginning, boundary]))
}
