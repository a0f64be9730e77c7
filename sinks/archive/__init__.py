"""The disk store: envelopes exactly as they came, in append-only Avro files by stream and day (R6.3, R7.2).

Never keeps a wrapped DEK in a file of records: epoch headers stand beside it, in a file per agent and day.
"""
