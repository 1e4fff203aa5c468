"""What would calm a training? Changes of it, each by itself, held against it as it is, and the best one confirmed."""
