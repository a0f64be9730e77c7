"""`sealstream doctor`: what is wrong with this host, and what to do about it, before people notice.

Never mends anything itself, and writes nothing but a file that it removes and one record of its own topic in Kafka.
"""
