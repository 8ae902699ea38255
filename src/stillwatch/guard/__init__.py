"""The guard at the gateway: where policies meet requests. Touches files, clocks and memory that is shared."""
