"""A user's own program: how its optimizers are perturbed, and what is read of it."""
