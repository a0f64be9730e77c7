"""What makes an end-to-end stream searchable: its text, the tokens of its words, and the roots that those come of.

Never lets a word leave the endpoint but sealed to those who may read the stream itself.
"""
