"""Accounts of people who use the console and the API: who they are, how they prove it, and what they may see.

Never keeps a password, a token or a code, only what checks them; and never answers differently for a name that exists.
"""
