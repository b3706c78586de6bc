package countersign.workload.secrets_test

import data.countersign.lib.examples
import data.countersign.workload.secrets

denied(object) := n if {
	results := secrets.deny with input as examples.one(examples.create(object))
	n := count(results)
}

# Written in two parts, so that no scanner takes this file for a leak.
tokens := [
	concat("", ["-----BEGIN RSA ", "PRIVATE KEY-----"]),
	concat("", ["-----BEGIN ", "PRIVATE KEY-----"]),
	concat("", ["AKI", "AIOSFODNN7EXAMPLE"]),
	concat("", ["gh", "p_", "abcdefghijklmnopqrstuvwxyz0123456789"]),
	concat("", ["glp", "at-", "abcdefghij0123456789"]),
]

test_tokens_are_found_wherever_they_hide if {
	every token in tokens {
		text := sprintf("a: b\nkey: %s\n", [token])
		every manifest in examples.also_listed(examples.thing("v1", "ConfigMap", {"data": {"a": "b", "c": text}})) {
			denied(manifest) == 1
		}
		every more in [{"env": [{"name": "A", "value": text}]}, {"command": ["run", text]}, {"args": [text]}] {
			every manifest in examples.everywhere(examples.pod_and("initContainers", more)) {
				denied(manifest) == 1
			}
		}
	}
}

test_no_message_shows_one if {
	results := secrets.deny with input as examples.one(examples.create(examples.thing("v1", "ConfigMap", {"data": {"c": tokens[2]}})))
	some result in results
	not contains(json.marshal(result), tokens[2])
}

test_what_only_looks_like_one_passes if {
	every text in ["-----BEGIN CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "AKIA", "ghp_short", "XAKIAIOSFODNN7EXAMPLEX"] {
		denied(examples.thing("v1", "ConfigMap", {"data": {"c": text}})) == 0
	}
}

with_env(name, value) := examples.pod_and("initContainers", {"env": [{"name": name, "value": value}]})

test_a_password_in_the_environment_is_denied if {
	every name in ["DB_PASSWORD", "db_passwd", "API_KEY", "AUTH_TOKEN", "CLIENT_SECRET"] {
		every manifest in examples.everywhere(with_env(name, "hunter2")) {
			denied(manifest) == 1
		}
	}
}

test_names_of_things_about_passwords_pass if {
	every pair in [
		["DB_PASSWORD_FILE", "/run/secrets/db"], ["TOKEN_URL", "https://id.example.org"], ["DB_PASSWORD", "$(OTHER)"], ["DB_PASSWORD", ""],
		["SECRET_NAME", "cart"], ["ENABLE_TOKEN_AUTH", "true"], ["TOKEN_TTL", "300s"], ["LOG_LEVEL", "info"],
	] {
		denied(examples.deployment(with_env(pair[0], pair[1]))) == 0
	}
	reference := {"env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}}]}
	denied(examples.deployment(examples.pod_and("initContainers", reference))) == 0
}

test_a_secret_in_git_is_denied if {
	every more in [{"data": {"a": "b"}}, {"stringData": {"a": "b"}}] {
		every manifest in examples.also_listed(examples.thing("v1", "Secret", more)) {
			denied(manifest) == 1
		}
	}
	denied(examples.thing("v1", "Secret", {})) == 0
	denied(examples.thing("external-secrets.io/v1", "ExternalSecret", {"data": {"a": "b"}})) == 0
}
