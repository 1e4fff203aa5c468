"""Named experiments: the only place where tasks, perturbations, training, storage and statistics meet."""
