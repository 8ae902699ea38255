"""The ledger: decisions, allowances and their audit trail, kept in SQLite or PostgreSQL."""
