package sums

import rego.v1

deny contains sprintf("%v %v %v %v", [input.a, input.b, input.c, input.a + 1]) if input.a

deny contains sprintf("%v %v %v", [json.marshal(input.marshal), input.inner.w, input.inner.z]) if input.marshal

warn contains sprintf("%s is %s", [path, type_name(value)]) if {
	input.types
	some name
	walk(input.types, [[name], value])
	path := name
}
