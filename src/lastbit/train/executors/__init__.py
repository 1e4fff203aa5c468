"""Who runs the jobs of a study: one file each, one register by name, and the choice between them by measurement."""
