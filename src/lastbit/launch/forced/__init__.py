"""Programs put onto the trajectory of another at each of its steps, so that every difference between them is local."""
