"""A fleet on one machine: each node in a network namespace of its own, as on hosts of their own."""
