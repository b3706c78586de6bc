package countersign.bench.lib

object := input.changes[0].after

pod := object.spec.template.spec if object.kind in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}

pod := object.spec if object.kind == "Pod"

pod := object.spec.jobTemplate.spec.template.spec if object.kind == "CronJob"
