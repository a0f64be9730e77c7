"""Turning what was recorded into text as a person reads it.

Pure: events in, text out. Never touches Kafka, a clock or a file.
"""
