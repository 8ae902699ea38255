"""Intelligence that is shared: STIX bundles out, tips in, sightings back, reports for agencies. See docs/sharing.md."""
