"""How the installation is, measured once for all who look; dead letters; and the replays that run here.

Never reads content: numbers, names of nodes and agents, and places in Kafka.
"""
