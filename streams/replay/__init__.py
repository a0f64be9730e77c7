"""Reading again: a range of a topic or of the archive, through the same processors, under a run of its own.

Never touches the live group's offsets, and never writes anything that reading twice would write twice.
"""
