"""Tests of the agent's core."""
