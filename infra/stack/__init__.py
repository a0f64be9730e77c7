"""The local stack: every component of one installation on one machine, in one data directory.

Never more than a supervisor of real programs: what runs here is what runs in production.
"""
