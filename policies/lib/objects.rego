# METADATA
# title: Objects that a change writes
# description: A List is as good as what it holds. Arrays, as whole objects in a set are slow.
package countersign.lib.objects

# What is written, with what was there: [object, the same object before or {}].
written := array.concat(
	[[change.after, object_or_empty(change.before)] |
		some change in input.changes
		change.op != "delete"
		not change.after.items
	],
	[[item, {}] |
		some change in input.changes
		change.op != "delete"
		some item in change.after.items
	],
)

object_or_empty(null) := {}

object_or_empty(value) := value if is_object(value)

# How an object is called in messages.
name(object_) := sprintf(`%s "%s"`, [object.get(object_, "kind", "?"), object.get(object_, ["metadata", "name"], "?")])
