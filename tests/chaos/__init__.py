"""Fault tests on several hosts: what breaks, when it does, and the count of every envelope at the end."""
