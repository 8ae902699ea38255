"""Streams of exchanges that share a mark, and the cohorts of accounts behind them."""
