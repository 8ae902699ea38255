"""Marks: the discrete things that an exchange reveals, stored only as keyed hashes."""
