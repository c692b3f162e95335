"""What everything else is a sum over: the workload, the operation, and the pass that writes it."""
