"""The life of a study, once for every kind: begin or resume, rehearse, run, conclude, present."""
