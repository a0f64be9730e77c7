"""Nodes: what is wished of them and followed, and updating them over SSH (R5.4, R2.10).

Never decides what a node's state is: `schemas.lifecycle` folds it from the facts.
"""
