package main

deny[msg] {
	input.kind == "Deployment"
	msg := "old syntax"
}

warn[{"msg": msg, "n": n}] {
	n := count(input)
	msg = sprintf("%v fields", [n])
}
