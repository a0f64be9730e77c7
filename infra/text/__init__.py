"""Text as a person reads it, out of what programs and people leave behind: terminal sessions and messages.

Never opens an envelope and never stores anything: events in, passages out.
"""
