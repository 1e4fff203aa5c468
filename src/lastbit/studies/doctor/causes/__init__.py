"""What makes two runs differ: a row for each cause, by the family that it is of."""
