"""How a last-bit difference evolves: divergence between twins, sketches, tangent growth, localisation, verdict."""
