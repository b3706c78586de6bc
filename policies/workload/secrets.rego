# METADATA
# title: Secrets are not written down
# description: What is in Git is there for good, in every clone. No message shows a value.
# custom:
#   scope: object
#   severity: high
#   controls: ["SOC2:CC6.1", "ISO27001:A.5.17", "ISO27001:A.8.12", "NIST-800-53:IA-5(7)", "PCI-DSS:8.6.2"]
package countersign.workload.secrets

import data.countersign.lib.objects
import data.countersign.lib.workload

# METADATA
# title: No keys and tokens in plain text
# description: Private keys and access tokens are known by their form, in ConfigMaps and in the environment and arguments of containers.
# custom:
#   id: secrets.leaked
#   profile: strict
#   severity: critical
#   bad: "env: [{name: KEY, value: AKIA…}]"
#   good: "env: [{name: KEY, valueFrom: {secretKeyRef: {name: cloud, key: id}}}]"
deny contains result if {
	some [place, text] in texts
	some beginning in beginnings
	contains(text, beginning)
	regex.match(token, text)
	result := {
		"msg": sprintf("%s holds what looks like a private key or an access token", [place]),
		"fix": "Revoke it, since it stays in the history of Git, and let a Secret hold the new one that is made outside of Git",
	}
}

# Looked for first: a regular expression costs a hundred times as much.
beginnings := [
	"PRIVATE KEY-----", "AKIA", "ASIA", "gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "xox", "k_live_", "AIza", "npm_",
]

token := concat("|", [
	`-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----`,
	`\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`,
	`\bgh[opsur]_[0-9A-Za-z]{36}`,
	`\bgithub_pat_[0-9A-Za-z_]{40}`,
	`\bglpat-[0-9A-Za-z_-]{20}`,
	`\bxox[abpr]-[0-9A-Za-z-]{20}`,
	`\b[rs]k_live_[0-9A-Za-z]{20}`,
	`\bAIza[0-9A-Za-z_-]{35}`,
	`\bnpm_[0-9A-Za-z]{36}`,
])

# Of each ConfigMap and each container, all of its text at once: one search costs less than a hundred.
texts := array.concat(
	[[objects.name(after), concat("\n", [value | some value in after.data; is_string(value)])] |
		some [after, _] in objects.written
		after.kind == "ConfigMap"
	],
	[[workload.label(container, field), concat("\n", array.concat(values, words))] |
		some [container, field, _] in workload.containers
		values := [entry.value | some entry in container.env; is_string(entry.value)]
		words := [word | some key in ["command", "args"]; some word in container[key]; is_string(word)]
		count(values) + count(words) > 0
	],
)

# METADATA
# title: No passwords in the environment
# description: Names tell. Paths, switches and references to other variables are no passwords.
# custom:
#   id: secrets.environment
#   profile: strict
#   bad: "env: [{name: DB_PASSWORD, value: hunter2}]"
#   good: "env: [{name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}]"
deny contains result if {
	some [container, field, _] in workload.containers
	names := lower(concat(" ", [entry.name | some entry in container.env; entry.value != ""]))
	some word in ["passw", "passp", "secret", "token", "key", "credential"]
	contains(names, word)
	some entry in container.env
	regex.match(secretive, entry.name)
	not harmless(entry.name, entry.value)
	result := {
		"msg": sprintf("%s gets %s in plain text", [workload.label(container, field), entry.name]),
		"fix": "Let a Secret hold it, and name that in valueFrom.secretKeyRef",
	}
}

secretive := `(?i)(?:passw(?:or)?d|passphrase|secret|token|api_?key|private_?key|access_?key|credential)`

harmless(_, "")

harmless(name, _) if regex.match(`(?i)(?:_|\b)(?:files?|path|dir|name|names|url|uri|endpoint|issuer|audience|type|enabled?|ttl|expiry|length|min|max|policy|rotation|provider|namespace|keyid)$`, name)

harmless(_, value) if regex.match(`^(?:/|\$\(|file:|https?://[^@]*$|(?i:true|false|yes|no|none|null|[0-9.]+[a-z]?)$)`, value)

# METADATA
# title: No Secrets in Git
# description: Base64 is no encryption. Sealed, external or encrypted ones are of other kinds, and may.
# custom:
#   id: secrets.in-git
#   profile: strict
#   bad: "kind: Secret, stringData: {password: …}"
#   good: "kind: ExternalSecret"
deny contains result if {
	some [after, _] in objects.written
	after.kind == "Secret"
	after.apiVersion == "v1"
	some field in ["data", "stringData"]
	count(after[field]) > 0
	result := {
		"msg": sprintf("%s has its values in Git", [objects.name(after)]),
		"fix": "Use an ExternalSecret, a SealedSecret or SOPS, and change the values: they stay in the history",
	}
}
