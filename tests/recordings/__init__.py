"""Tests of the recordings that the console shows."""
