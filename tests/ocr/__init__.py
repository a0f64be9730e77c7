"""Tests of the reading of screens."""
