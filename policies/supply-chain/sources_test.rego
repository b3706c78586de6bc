package countersign.supply_chain.sources_test

import data.countersign.lib.examples
import data.countersign.supply_chain.sources

commit := "8be0d41c55a2a9f2f8e39d5bd9f5e3f4b2ad91c7"

flux(kind, spec) := examples.thing("source.toolkit.fluxcd.io/v1", kind, {"spec": spec})

argo(source) := examples.thing("argoproj.io/v1alpha1", "Application", {"spec": {"source": source}})

denied_with(object, settings) := n if {
	results := sources.deny with input as examples.one(examples.create(object)) with data.countersign.settings as settings
	n := count(results)
}

denied(object) := denied_with(object, {})

test_pinned_sources_pass if {
	every manifest in [
		flux("GitRepository", {"url": "https://git.example.org/a", "ref": {"commit": commit}}),
		flux("OCIRepository", {"url": "oci://ghcr.io/a/b", "ref": {"digest": examples.digest}}),
		flux("HelmRepository", {"url": "https://charts.example.org"}),
		argo({"repoURL": "https://git.example.org/a", "targetRevision": commit}),
		argo({"repoURL": "https://charts.example.org", "chart": "x", "targetRevision": "1.2.3"}),
	] {
		denied(manifest) == 0
	}
}

test_sources_that_move_are_denied if {
	every manifest in [
		flux("GitRepository", {"url": "https://git.example.org/a", "ref": {"branch": "main"}}),
		flux("GitRepository", {"url": "https://git.example.org/a"}),
		flux("OCIRepository", {"url": "oci://ghcr.io/a/b", "ref": {"tag": "1.2.3"}}),
		argo({"repoURL": "https://git.example.org/a", "targetRevision": "v1.2.3"}),
		argo({"repoURL": "https://git.example.org/a"}),
		argo({"repoURL": "https://charts.example.org", "chart": "x", "targetRevision": "1.*"}),
		examples.thing("argoproj.io/v1alpha1", "Application", {"spec": {"sources": [{"repoURL": "https://a", "targetRevision": "main"}]}}),
	] {
		every one in examples.also_listed(manifest) {
			denied(one) == 1
		}
	}
}

test_clear_text_is_denied if {
	every spec in [{"url": "http://charts.example.org"}, {"url": "HTTP://charts.example.org"}, {"url": "oci://x/y", "insecure": true}] {
		every one in examples.also_listed(flux("HelmRepository", spec)) {
			denied(one) == 1
		}
	}
	denied(argo({"repoURL": "git://git.example.org/a", "targetRevision": commit})) == 1
}

test_only_allowed_sources_pass if {
	settings := {"sources": ["https://git.example.org/platform/"]}
	every url in ["https://git.example.org/platform/charts", "https://git.example.org/platform/charts.git", "https://git.example.org/platform"] {
		denied_with(argo({"repoURL": url, "targetRevision": commit}), settings) == 0
	}
	every url in [
		"https://git.example.org/platforms/charts", "https://git.example.org.evil.com/platform/x",
		"https://git.example.org/platform/../evil", "https://github.com/somebody/x",
	] {
		denied_with(argo({"repoURL": url, "targetRevision": commit}), settings) == 1
	}
}
