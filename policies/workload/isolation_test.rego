package countersign.workload.isolation_test

import data.countersign.lib.examples
import data.countersign.workload.isolation
import data.countersign.workload.network_test

test_a_new_namespace_needs_a_policy if {
	namespace := examples.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
	count(isolation.deny) == 1 with input as examples.many([namespace])
	count(isolation.deny) == 0 with input as examples.many([namespace, examples.create(network_test.policy({"podSelector": {}}))])
	count(isolation.deny) == 1 with input as examples.many([namespace, examples.create(network_test.policy({"podSelector": {"matchLabels": {"a": "b"}}}))])
	count(isolation.deny) == 1 with input as examples.many([namespace, examples.delete(network_test.policy({"podSelector": {}}))])
}
