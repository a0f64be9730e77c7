"""`make demo`: the whole product on one machine, on real input, from nothing.

Never pretends: each thing that it shows is what the command beside it printed.
"""
