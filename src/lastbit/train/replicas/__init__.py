"""Many runs of one task that take each step together in one process."""
