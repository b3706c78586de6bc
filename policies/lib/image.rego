# METADATA
# title: Image references
# description: Read by the grammar of github.com/distribution/reference, so that nothing which only looks like a registry counts as one.
package countersign.lib.image

import data.countersign.lib.workload

# Every image that would be pulled: [reference, what pulls it].
used := array.concat(
	[[container.image, workload.label(container, field)] |
		some [container, field, _] in workload.containers
		is_string(container.image)
		container.image != ""
	],
	[[volume.image.reference, sprintf("image volume %q", [object.get(volume, "name", "?")])] |
		some pod in workload.pods
		some volume in pod.volumes
		is_string(volume.image.reference)
	],
)

valid(reference) if {
	regex.match(
		concat("", [
			`^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::[0-9]+)?/)?`,
			`[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*`,
			`(?::\w[\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$`,
		]),
		reference,
	)
}

pinned(reference) if {
	valid(reference)
	regex.match(`@sha256:[a-f0-9]{64}$|@sha512:[a-f0-9]{128}$`, reference)
}

# Registry, in lower case, and path: nginx is docker.io/library/nginx. Undefined for what is no reference.
name(reference) := full if {
	valid(reference)
	untagged := regex.replace(split(reference, "@")[0], `:[^/:]*$`, "")
	full := qualified(split(untagged, "/"))
}

qualified(parts) := concat("/", ["docker.io/library", parts[0]]) if count(parts) == 1

qualified(parts) := concat("/", array.concat([registry(lower(parts[0]))], array.slice(parts, 1, count(parts)))) if {
	count(parts) > 1
	is_host(parts[0])
}

qualified(parts) := concat("/", array.concat(["docker.io"], parts)) if {
	count(parts) > 1
	not is_host(parts[0])
}

is_host(part) if contains(part, ".")

is_host(part) if contains(part, ":")

is_host(part) if part == "localhost"

is_host(part) if part != lower(part)

registry(host) := "docker.io" if host in {"index.docker.io", "registry-1.docker.io"}

registry(host) := host if not host in {"index.docker.io", "registry-1.docker.io"}

# Whether a full name lies under an allowed registry or path, at a boundary.
under(full, allowed) if full == lower(allowed)

under(full, allowed) if startswith(full, concat("", [trim_right(lower(allowed), "/"), "/"]))
