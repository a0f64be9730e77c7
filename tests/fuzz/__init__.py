"""Hostile input: every parser that reads what others wrote, fed with what nobody would write."""
