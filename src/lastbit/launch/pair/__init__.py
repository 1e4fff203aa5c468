"""Two runs of one program held against each other: what each of them did in a step, down to the operation."""
