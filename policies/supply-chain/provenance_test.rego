package countersign.supply_chain.provenance_test

import data.countersign.lib.examples
import data.countersign.supply_chain.provenance

hash := substring(examples.digest, 7, -1)

genuine := {
	"path": "attestations/cart.intoto.jsonl",
	"line": 1,
	"status": "verified",
	"attester": "build",
	"predicateType": provenance.slsa,
	"subjects": [{"name": "registry.example.org/shop/cart", "sha256": hash}],
	"builder": "https://ci.example.org",
	"sources": [{"uri": "git+https://git.example.org/acme/shop@refs/heads/main", "commit": "abc"}],
}

with_faults(faults) := object.union(genuine, faults)

# A workload of one image, in its usual place and where people forget to look.
judged(attestations) := {"deny": results} if {
	results := provenance.deny with input as object.union(examples.one(examples.create(examples.deployment(examples.pod))), {"attestations": attestations})
}

messages(attestations) := [result.msg | some result in judged(attestations).deny]

test_verified_provenance_passes if count(judged([genuine]).deny) == 0

test_rules_are_silent_where_nobody_is_believed if {
	count(provenance.deny) == 0 with input as examples.one(examples.create(examples.deployment(examples.pod)))
}

test_a_rejected_attestation_is_denied_with_its_reason if {
	every fault in ["forged", "unknown-key", "wrong-predicate", "builder-not-allowed"] {
		found := judged([with_faults({"status": "rejected", "fault": fault, "reason": "so it is"})]).deny
		count(found) == 1
		some result in found
		contains(result.msg, "does not hold: so it is")
		result.fault == fault
		result.attestation == "attestations/cart.intoto.jsonl:1"
	}
}

test_a_stranger_beside_the_builder_is_passed_over if {
	stranger := with_faults({"status": "rejected", "fault": "unknown-key", "reason": "nobody"})
	count(judged([stranger, genuine]).deny) == 0
}

test_no_provenance_is_denied if {
	[message] := messages([])
	endswith(message, "has no provenance")
}

test_provenance_of_another_digest_is_denied_and_named if {
	other := with_faults({"subjects": [{"name": "registry.example.org/shop/cart", "sha256": "0123456789abcdef"}]})
	[message] := messages([other])
	contains(message, "attestations/cart.intoto.jsonl is of sha256:0123456789ab")
}

test_another_statement_is_no_provenance if {
	[message] := messages([with_faults({"predicateType": "https://spdx.dev/Document"})])
	contains(message, "what is attested of it is https://spdx.dev/Document")
}

test_an_image_without_digest_has_no_provenance if {
	pod := examples.pod_and("initContainers", {"image": "registry.example.org/shop/cart:1"})
	every manifest in examples.everywhere(pod) {
		found := provenance.deny with input as object.union(examples.one(examples.create(manifest)), {"attestations": [genuine]})
		count(found) == 1
	}
}

test_it_is_asked_only_of_what_settings_name if {
	count(judged([]).deny) == 0 with data.countersign.settings as {"provenance": ["registry.example.org/other"]}
	count(judged([]).deny) == 1 with data.countersign.settings as {"provenance": ["registry.example.org/shop"]}
}

test_sources_are_ours if {
	count(judged([genuine]).deny) == 0 with data.countersign.settings as {"build_sources": ["git+https://git.example.org/acme/shop"]}
	every place in ["git+https://git.example.org/acme/sho", "git+https://git.example.org/other"] {
		[message] := messages([genuine]) with data.countersign.settings as {"build_sources": [place]}
		contains(message, "was built from git+https://git.example.org/acme/shop@refs/heads/main")
	}
	[silent] := messages([object.remove(genuine, ["sources"])]) with data.countersign.settings as {"build_sources": ["git+https://git.example.org/acme"]}
	contains(silent, "was built from what it does not say")
}
