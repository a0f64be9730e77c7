"""Replays asked for by the console or by gRPC: the table of them, and who runs them on a node.

Never processes a record: `sealstream replay` does, as a process of its own.
"""
