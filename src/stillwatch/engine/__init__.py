"""Running the stages on one machine: batches in, sums out."""
