"""Acting on findings: decisions, the ladder that says who may take which, and the trail that they leave. All pure."""
