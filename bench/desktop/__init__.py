"""Scripted desktop recordings with known text, for measuring what reads screens.

Never random: the same name and seed draw the same pixels.
"""
