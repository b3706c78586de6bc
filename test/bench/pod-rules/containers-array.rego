package countersign.bench.lib

containers := [container |
	some field in ["containers", "initContainers", "ephemeralContainers"]
	some container in pod[field]
]
