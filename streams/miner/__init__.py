"""The gRPC service of a mining node (R2.6): what it is, what it can do, replays, draining.

Never mines anything itself: the workers do, and a replay is a process of its own.
"""
