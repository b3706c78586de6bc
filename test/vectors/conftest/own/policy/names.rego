package main

# Every name that counts, and some that do not.
deny contains "bare deny" if input.kind

deny_with_suffix contains "deny, two words" if input.kind

deny_2 contains msg if {
	input.spec.replicas > 1
	msg := sprintf("%d replicas <b>&'\"\u2028 ü", [input.spec.replicas])
}

violation contains {"msg": "an object", "details": {"n": 1.50, "big": 12345678901234567890, "list": {3, 1, 2}, "empty": []}} if input.kind

violation_named contains {"msg": "with a place", "_loc": {"file": "files/other.yaml", "line": 7}, "z": 1, "a": null} if input.kind

warn contains "bare warn" if input.metadata.name

warn_named contains sprintf("%v of %s", [port, input.metadata.name]) if some port in input.ports

denyx contains "never asked" if true

allow contains "never asked" if true

deny contains msg if {
	some doc in input
	doc.kind == "Odd"
	msg := sprintf("%v", [doc.n])
}
