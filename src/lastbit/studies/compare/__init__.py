"""Is B better than A? Two or more arms, their difference with its interval, and a decision with a stated error rate."""
