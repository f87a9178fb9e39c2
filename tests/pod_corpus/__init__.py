"""Templates and overrides of every kind, with the pods that upstream's KubernetesExecutor makes of them."""
