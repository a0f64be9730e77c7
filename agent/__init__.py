"""The endpoint: sources, recorder, spool and uplink of a visible recorder.

Never imports Kafka, Faust, a store's client or pydantic: it must start fast and stay small.
"""
