# METADATA
# title: What is fetched is what was looked at
# description: Sources of Flux and of Argo CD bring objects that no decision of this repository has seen.
# custom:
#   scope: object
#   severity: medium
#   controls: ["SOC2:CC8.1", "ISO27001:A.5.21", "NIST-800-53:SR-4", "PCI-DSS:6.3.2"]
package countersign.supply_chain.sources

import data.countersign.lib.objects
import data.countersign.lib.settings

# Where each object fetches from: [object, URL, what says which version, {} if nothing does].
fetched := array.concat(
	[[after, after.spec.url, object.get(after.spec, "ref", {})] |
		some [after, _] in objects.written
		startswith(after.apiVersion, "source.toolkit.fluxcd.io/")
		after.kind in {"GitRepository", "OCIRepository", "HelmRepository", "Bucket"}
	],
	[[after, source.repoURL, {"targetRevision": object.get(source, "targetRevision", "HEAD"), "chart": object.get(source, "chart", "")}] |
		some [after, _] in objects.written
		startswith(after.apiVersion, "argoproj.io/")
		after.kind == "Application"
		some source in array.concat(object.get(after.spec, "sources", []), [after.spec.source | is_object(after.spec.source)])
	],
)

# METADATA
# title: Nothing is fetched in the clear
# description: Who stands on the way could put in what they like.
# custom:
#   id: sources.transport
#   severity: high
#   controls: ["SOC2:CC6.7", "ISO27001:A.8.24", "NIST-800-53:SC-8", "PCI-DSS:4.2.1"]
#   bad: "kind: HelmRepository, spec: {url: http://charts.example.org}"
#   good: "kind: HelmRepository, spec: {url: https://charts.example.org}"
deny contains result if {
	some [after, url, _] in fetched
	clear(after, url)
	result := {"msg": sprintf("%s fetches %s without encryption", [objects.name(after), url]), "fix": "Use https or ssh, without insecure"}
}

clear(_, url) if startswith(lower(url), "http://")

clear(_, url) if startswith(lower(url), "git://")

clear(after, _) if after.spec.insecure == true

# METADATA
# title: Sources are of allowed places
# description: settings.sources lists beginnings of URLs. Without it the rule is silent.
# custom:
#   id: sources.allowed
#   severity: high
#   bad: "spec: {source: {repoURL: https://github.com/somebody/charts}}"
#   good: "spec: {source: {repoURL: https://git.example.org/platform/charts}}"
deny contains result if {
	is_array(settings.sources)
	some [after, url, _] in fetched
	not allowed(url)
	result := {
		"msg": sprintf("%s fetches from %s, which is no allowed source", [objects.name(after), url]),
		"fix": sprintf("Take it from one of: %s", [concat(", ", settings.sources)]),
	}
}

allowed(url) if {
	some source in settings.sources
	plain := trim_suffix(lower(url), ".git")
	beginning := trim_right(lower(source), "/")
	within(plain, beginning)
	not contains(plain, "/..")
}

within(url, beginning) if url == beginning

within(url, beginning) if startswith(url, concat("", [beginning, "/"]))

# METADATA
# title: Sources are pinned
# description: A branch, a range or the newest is another thing tomorrow, without a commit here. Commits, digests and whole versions are not.
# custom:
#   id: sources.pinned
#   profile: strict
#   bad: "spec: {source: {targetRevision: main}}"
#   good: "spec: {source: {targetRevision: 8be0d41c55a2a9f2f8e39d5bd9f5e3f4b2ad91c7}}"
deny contains result if {
	some [after, url, ref] in fetched
	not after.kind in {"HelmRepository", "Bucket"}
	not pinned(after.kind, ref)
	result := {
		"msg": sprintf("%s fetches what %s is at the moment", [objects.name(after), url]),
		"fix": "Name a commit, a digest, or a whole version of a chart",
	}
}

pinned("GitRepository", ref) if regex.match(`^[0-9a-f]{40}([0-9a-f]{24})?$`, ref.commit)

pinned("OCIRepository", ref) if startswith(ref.digest, "sha256:")

pinned("Application", ref) if regex.match(`^[0-9a-f]{40}([0-9a-f]{24})?$`, ref.targetRevision)

pinned("Application", ref) if {
	ref.chart != ""
	regex.match(`^v?[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$`, ref.targetRevision)
}
