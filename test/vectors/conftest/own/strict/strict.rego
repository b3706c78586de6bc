package main

deny contains "x" if {
	unused := 1
	input.kind
}
