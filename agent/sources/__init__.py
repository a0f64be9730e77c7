"""What an agent records: one module for each source, and what they stand on.

Nothing here seals, stores or sends, and nothing records what the policy does not allow.
"""
