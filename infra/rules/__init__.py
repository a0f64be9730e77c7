"""Rules of alerts: what a person may ask for, and one function that says what it matches.

Never decides in two ways: the live processor and the preview of the console call the same `evaluate`.
"""
