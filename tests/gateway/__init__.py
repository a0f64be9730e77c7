"""The gateway: its parts alone, and the agent port over real TLS."""
