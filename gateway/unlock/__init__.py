"""Unlocking on the server (R6.6): a person's passphrase opens what is in scope, for that person alone.

Never in a process that serves others: each unlock has a process of its own, whose end is the wiping.
"""
