"""The edge of stability: sharpness against the optimizer's limit along a training, twins beside it, and sweeps."""
