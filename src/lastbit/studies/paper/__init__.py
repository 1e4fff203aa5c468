"""Every published claim, measured again: what decides it is written down before the run, and can fail."""
