package forms.nested

# Rules that are no sets of texts.
deny_list := ["from a list", {"msg": "an object in a list"}, 17] if input.kind

warn_complete if input.kind

violation contains 1 if input.kind

deny_mixed contains x if {
	input.kind
	some x in ["text", 1, true, {"msg": "object"}]
}

deny_never contains "never" if input.nothing

deny_multi contains "two\nlines, a\ttab" if input.kind
