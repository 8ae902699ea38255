"""Findings on paper: the wire format and the terminal."""
