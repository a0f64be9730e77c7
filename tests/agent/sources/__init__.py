"""Tests of what the agent records."""
