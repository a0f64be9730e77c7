"""The contract of the miners' gRPC service, as `miner.proto` says it.

Nothing generated stands here: `streams.miner.contract` compiles it as it is imported.
"""
