# METADATA
# title: Image references
# description: Read as container runtimes read them, so that nothing which only looks like a registry counts as one.
package countersign.lib.image

import data.countersign.lib.workload

# Every image that would be pulled: [reference, its container or volume, the container field or "volumes"].
used := array.concat(
	[[container.image, container, field] |
		some [container, field, _] in workload.containers
		is_string(container.image)
		container.image != ""
	],
	[[volume.image.reference, volume, "volumes"] |
		some pod in workload.pods
		some volume in pod.volumes
		is_string(volume.image.reference)
	],
)

# How what pulls an image is called in messages.
user(holder, field) := workload.label(holder, field) if field != "volumes"

user(volume, "volumes") := sprintf(`image volume "%s"`, [object.get(volume, "name", "?")])

pinned(reference) if regex.match(`^[a-zA-Z0-9._:/-]+@(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$`, reference)

# Registry, in lower case, and path: nginx is docker.io/library/nginx. Undefined for what is no reference.
name(reference) := full if {
	regex.match(`^[a-zA-Z0-9][a-zA-Z0-9._:/-]*(?:@[a-zA-Z0-9+._-]+:[a-fA-F0-9]{32,})?$`, reference)
	parts := split(split(reference, "@")[0], "/")
	last := count(parts) - 1
	full := qualified(array.concat(array.slice(parts, 0, last), [split(parts[last], ":")[0]]))
}

qualified(parts) := concat("/", ["docker.io/library", parts[0]]) if {
	count(parts) == 1
} else := concat("/", array.concat([registry(lower(parts[0]))], array.slice(parts, 1, count(parts)))) if {
	is_host(parts[0])
} else := concat("/", array.concat(["docker.io"], parts))

is_host(part) if contains(part, ".")

is_host(part) if contains(part, ":")

is_host(part) if part == "localhost"

is_host(part) if part != lower(part)

registry("index.docker.io") := "docker.io"

registry("registry-1.docker.io") := "docker.io"

registry(host) := host if not host in {"index.docker.io", "registry-1.docker.io"}

# Whether a full name lies under an allowed registry or path, at a boundary.
under(full, allowed) if full == lower(allowed)

under(full, allowed) if startswith(full, concat("", [trim_right(lower(allowed), "/"), "/"]))
