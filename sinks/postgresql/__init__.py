"""The relational store: agents, sessions, envelopes, activity, node states, audit.

Never holds an envelope's content or a key.
"""
