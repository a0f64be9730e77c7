"""Which gateways there are, how much each carries, and where every agent is: told to each other through Redis.

Nothing that was acknowledged depends on it: without Redis it is told by the lifecycle log, later and in less detail.
"""
