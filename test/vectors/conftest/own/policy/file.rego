package file

deny contains sprintf("%s in %s", [data.conftest.file.name, count(split(data.conftest.file.dir, "/")) > 0]) if input.kind

warn contains "printed" if {
	input.kind
	print("kind", input.kind, input.nothing, {"a": [1, "x"]})
}
