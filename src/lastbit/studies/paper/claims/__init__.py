"""One file per claim: what is measured of it, the rules that judge it, its figure."""
