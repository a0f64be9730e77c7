"""How the installation is, measured once for all who look; and dead letters.

Never reads content: numbers, names of nodes and agents, and places in Kafka.
"""
