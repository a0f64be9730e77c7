"""Reports of activity: what the views of schema `bi` say, for people that an account may see, as rows and as files.

Never asks about anybody outside the scope that it is given.
"""
