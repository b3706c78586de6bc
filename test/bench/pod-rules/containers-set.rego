package countersign.bench.lib

# As many write it: whole objects in a set. Each is hashed, and compared with the others.
containers contains container if some container in pod.containers

containers contains container if some container in pod.initContainers

containers contains container if some container in pod.ephemeralContainers
