"""What earlier versions said is understood, and what is said now would have been.

`recorded/` holds what the first version (933874a, software 0.1.0) put on wires and into topics; it never changes.
"""
