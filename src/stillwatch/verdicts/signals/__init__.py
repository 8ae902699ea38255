"""One file a signal: one question asked of a cohort's exchanges."""
