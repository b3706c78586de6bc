// Package v1 stands for the real one: its version is named in the scheme's list.
package v1

// AddToScheme has nothing to add.
func AddToScheme(any) {}
