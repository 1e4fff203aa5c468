"""One deterministic training run, and executors that run many."""
