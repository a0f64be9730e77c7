"""Presence: who is where, told through a real Redis."""
