"""Configurations of other programs, made from the settings and the list of approved nodes (R5.1).

Never applied by itself: whoever looks after a node puts them in their places, or lets `sealstream infra render` do it.
"""
