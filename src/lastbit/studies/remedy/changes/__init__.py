"""The changes that can be tried: one file per family, one row each in the register."""
