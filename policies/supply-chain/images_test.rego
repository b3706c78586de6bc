package countersign.supply_chain.images_test

import data.countersign.lib.examples
import data.countersign.supply_chain.images

ours := {"registries": ["registry.example.org", "ghcr.io/example", "registry.example.org:5000/team/"]}

with_image(image) := examples.deployment(examples.pod_with({"containers": [examples.container_with({"image": image})]}))

denied(object) := n if {
	results := images.deny with input as examples.one(examples.create(object))
	n := count(results)
}

denied_ours(object) := n if {
	results := images.deny with input as examples.one(examples.create(object))
		with data.countersign.settings as ours
	n := count(results)
}

pin(name) := sprintf("%s@%s", [name, examples.digest])

test_a_pinned_image_passes if {
	denied(with_image(pin("registry.example.org/shop/cart"))) == 0
	denied(with_image(pin("registry.example.org:5000/shop/cart:1.0"))) == 0
	denied(with_image(pin("nginx"))) == 0
}

test_a_tag_is_denied if {
	object := with_image("registry.example.org/cart:latest")
	results := images.deny with input as examples.one(examples.create(object))
	count(results) == 1
	some result in results
	result.msg == `image "registry.example.org/cart:latest" of container "cart" is not pinned by digest`
	startswith(result.fix, "use registry.example.org/cart:latest@sha256:…")
}

test_what_only_looks_pinned_is_denied if {
	every image in [
		"nginx",
		"nginx:LATEST",
		"nginx:sha256-7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730",
		"nginx@sha256:7d865e95",
		"nginx@sha256:7D865E959B2466918C9863AFCA942D0FB89D7C9AC0C99BAFC3749504DED97730",
		"nginx@md5:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730",
		sprintf("%s:latest", [pin("nginx")]),
		sprintf("%s\n", [pin("nginx")]),
	] {
		denied(with_image(image)) == 1
	}
}

test_it_does_not_hide_in_other_containers_and_kinds if {
	every field in ["initContainers", "ephemeralContainers"] {
		pod := examples.pod_and(field, {"image": "busybox"})
		every manifest in [
			examples.deployment(pod),
			examples.cron_job(pod),
			examples.rollout(pod),
			examples.list([examples.bare_pod(pod), examples.deployment(examples.pod)]),
		] {
			denied(manifest) == 1
		}
	}
}

test_an_image_volume_is_an_image if {
	volume := {"name": "model", "image": {"reference": "registry.example.org/model:1", "pullPolicy": "Always"}}
	object := examples.deployment(examples.pod_with({"volumes": [volume]}))
	results := images.deny with input as examples.one(examples.create(object))
	count(results) == 1
	some result in results
	contains(result.msg, `of image volume "model"`)
}

test_allowed_registries_pass if {
	every name in [
		"registry.example.org/shop/cart",
		"REGISTRY.example.org/shop/cart",
		"ghcr.io/example/tool",
		"registry.example.org:5000/team/tool:1",
	] {
		denied_ours(with_image(pin(name))) == 0
	}
}

test_other_registries_are_denied if {
	every name in [
		"nginx",
		"library/nginx",
		"docker.io/library/nginx",
		"registry.example.org.evil.com/cart",
		"registry.example.orgevil/cart",
		"evil.com/registry.example.org/cart",
		"ghcr.io/example2/tool",
		"ghcr.io/exampletool",
		"registry.example.org:5000/teams/tool",
		"registry.example.org:6000/cart",
		"registry.example.org@evil.com/cart",
	] {
		denied_ours(with_image(pin(name))) >= 1
	}
}

test_docker_hub_by_any_name_is_one_registry if {
	hub := {"registries": ["docker.io/library"]}
	every name in ["nginx", "library/nginx", "docker.io/library/nginx", "index.docker.io/library/nginx"] {
		count(images.deny) == 0 with input as examples.one(examples.create(with_image(pin(name))))
			with data.countersign.settings as hub
	}
	count(images.deny) == 1 with input as examples.one(examples.create(with_image(pin("evil/nginx"))))
		with data.countersign.settings as hub
}

test_without_settings_any_registry_passes if {
	denied(with_image(pin("quay.io/anything/atall"))) == 0
}
