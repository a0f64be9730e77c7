"""The capacity model: how many processes, cores, bytes and hosts so many agents need (docs/scale.md).

Never reads a setting, a clock or a store: figures and a load in, a plan out.
"""
