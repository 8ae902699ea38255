"""Intelligence shared between providers, clouds and agencies."""
