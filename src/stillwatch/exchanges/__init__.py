"""Reading request logs: files in many dialects become batches of `exchange/1`."""
