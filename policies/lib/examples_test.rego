# METADATA
# title: Inputs that the tests of the starter rules begin with
package countersign.lib.examples

digest := "sha256:7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730"

pinned := sprintf("registry.example.org/shop/cart:1.4.2@%s", [digest])

# A container as a careful team writes it.
container := {
	"name": "cart",
	"image": pinned,
	"ports": [{"name": "http", "containerPort": 8080}],
	"env": [{"name": "LOG_LEVEL", "value": "info"}],
	"resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
	"readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}},
	"securityContext": {
		"allowPrivilegeEscalation": false,
		"readOnlyRootFilesystem": true,
		"runAsNonRoot": true,
		"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
		"seccompProfile": {"type": "RuntimeDefault"},
	},
}

pod := {
	"serviceAccountName": "cart",
	"automountServiceAccountToken": false,
	"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}],
	"containers": [container],
	"volumes": [{"name": "tmp", "emptyDir": {}}],
}

pod_with(more) := object.union(pod, more)

container_with(more) := object.union(container, more)

# The same in each kind that Kubernetes has for pods, in a list and in a kind of somebody's own.
everywhere(spec) := array.concat(
	[with_template(api_version, kind, spec) |
		some [api_version, kind] in [
			["apps/v1", "Deployment"], ["apps/v1", "StatefulSet"], ["apps/v1", "DaemonSet"], ["apps/v1", "ReplicaSet"],
			["batch/v1", "Job"], ["v1", "ReplicationController"], ["apps/v1beta1", "Deployment"],
		]
	],
	[bare_pod(spec), cron_job(spec), rollout(spec), list([deployment(pod), deployment(spec)]), list([list([bare_pod(spec)])])],
)

with_template(api_version, kind, spec) := {
	"apiVersion": api_version,
	"kind": kind,
	"metadata": {"name": "cart", "namespace": "shop"},
	"spec": {"template": {"spec": spec}},
}

# A pod that holds one more container in a field of its own.
pod_and(field, more) := object.union(pod, {field: [container_with(more)]})

deployment(spec) := {
	"apiVersion": "apps/v1",
	"kind": "Deployment",
	"metadata": {"name": "cart", "namespace": "shop", "labels": {"app": "cart"}},
	"spec": {
		"replicas": 3,
		"selector": {"matchLabels": {"app": "cart"}},
		"template": {"metadata": {"labels": {"app": "cart"}}, "spec": spec},
	},
}

cron_job(spec) := {
	"apiVersion": "batch/v1",
	"kind": "CronJob",
	"metadata": {"name": "sweep", "namespace": "shop"},
	"spec": {"schedule": "5 4 * * *", "jobTemplate": {"spec": {"template": {"spec": spec}}}},
}

bare_pod(spec) := {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "debug", "namespace": "shop"}, "spec": spec}

list(items) := {"apiVersion": "v1", "kind": "List", "metadata": {"name": "all"}, "items": items}

# A resource of somebody's own that makes pods.
rollout(spec) := {
	"apiVersion": "argoproj.io/v1alpha1",
	"kind": "Rollout",
	"metadata": {"name": "cart", "namespace": "shop"},
	"spec": {"replicas": 3, "template": {"spec": spec}},
}

identity(object) := {
	"apiVersion": object.apiVersion,
	"kind": object.kind,
	"namespace": object.metadata.namespace,
	"name": object.metadata.name,
} if object.metadata.namespace

identity(object) := {
	"apiVersion": object.apiVersion,
	"kind": object.kind,
	"namespace": "",
	"name": object.metadata.name,
} if not object.metadata.namespace

create(object) := change("create", null, object, object)

update(before, after) := change("update", before, after, after)

delete(object) := change("delete", object, null, object)

change(op, before, after, shown) := {
	"op": op,
	"object": identity(shown),
	"before": before,
	"after": after,
	"patch": [],
	"source": {"path": "apps/cart/deployment.yaml", "line": 1},
	"live": null,
}

# What an object-scoped rule sees.
one(the_change) := object.union(around, {"commits": [], "changes": [the_change]})

many(changes) := object.union(around, {"commits": [commit], "changes": changes})

with_commits(commits) := object.union(around, {"commits": commits, "changes": []})

commit := {
	"id": "8be0d41c55a2a9f2f8e39d5bd9f5e3f4b2ad91c7",
	"tree": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
	"parents": ["1f3c9a2b7f6f7a1f0a8f6b1d2a5c4e3f9d8b7a66"],
	"message": "tune cache\n\nThe cart asks for the same prices again and again.\n",
	"trailers": {},
	"author": {"name": "Ann", "email": "ann@example.org", "time": "2026-03-02T10:00:00+01:00"},
	"committer": {"name": "Ann", "email": "ann@example.org", "time": "2026-03-02T10:00:00+01:00"},
	"signature": {"kind": "ssh", "status": "verified", "principal": "ann@example.org", "key": "SHA256:Qm1x"},
	"files": [{"path": "apps/cart/deployment.yaml", "op": "modify", "mode": "100644"}],
}

commit_with(more) := object.union(commit, more)

unsigned := {"signature": {"kind": "none", "status": "none"}}

around := {
	"apiVersion": "countersign.dev/v1",
	"kind": "ProposedChange",
	"time": "2026-03-02T09:05:00.000Z",
	"repository": {"name": "shop", "url": "https://git.example.org/shop.git"},
	"environment": {"name": "shop/production", "ref": "refs/heads/main", "path": "environments/production", "target": "prod", "labels": {}},
	"operation": "push",
	"push": {"ref": "refs/heads/main", "old": "1f3c9a2b", "new": "8be0d41c", "forced": false},
	"base": "1f3c9a2b7f6f7a1f0a8f6b1d2a5c4e3f9d8b7a66",
	"head": "8be0d41c55a2a9f2f8e39d5bd9f5e3f4b2ad91c7",
	"approvals": [],
	"checks": [],
	"exceptions": [],
}

# What a rule about objects says of: one that is written, one that was changed.
metadata := {"name": "cart", "namespace": "shop"}

thing(api_version, kind, more) := object.union({"apiVersion": api_version, "kind": kind, "metadata": metadata}, more)

# The same object alone and in a List.
also_listed(manifest) := [manifest, list([manifest])]
