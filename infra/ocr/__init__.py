"""Incremental OCR: reads only the lines of text that a screen did not show before.

Never reads a line of the same pixels twice, on whatever screen and wherever it stands.
"""
