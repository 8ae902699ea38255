"""Judging cohorts: signals, evidence, baseline, verdict."""
