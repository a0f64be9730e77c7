"""The browser's side: the same tests on Node and in Chromium."""
