"""Recordings for the console: found by the gateway, opened in a reader process, streamed to the page.

places.py     where in the archive what is asked for stands (gateway)
asking.py     what the gateway asks of a reader
pool.py       the reader processes, as the gateway has them
reader.py     the process that has the server's KEK; jobs.py: its work
timeline.py   one timeline of a person
"""
