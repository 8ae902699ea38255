"""Databases that things are kept in: a SQLite file or PostgreSQL, behind one small interface."""
