"""Made traffic, for demos, tests and drills."""
