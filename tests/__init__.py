"""The test suite: one folder for each package, `live/` for what needs the real components."""
