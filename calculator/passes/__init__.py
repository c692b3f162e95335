"""A model and a workload as a list of operations, and sums over it."""
