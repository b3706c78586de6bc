package main

deny contains sprintf("%s has %v of %d", [file.path, object.get(file.contents, "a", "none"), count(input)]) if {
	some file in input
	is_object(file.contents)
}
