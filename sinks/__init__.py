"""What writes topics into stores, and reads the stores back: one consumer loop, three stores.

Never commits an offset before everything below it is durable in its store, or kept as a dead letter.
"""
