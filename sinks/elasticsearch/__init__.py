"""The search store: mined documents, one index a month behind one alias.

Never holds an envelope or a key; of end-to-end text it has keyed hashes of words alone.
"""
