"""Every contract that crosses a process border: envelope, keys, wire protocol, records, topics, lifecycle.

Pure: bytes in, values out. Never reads a clock, a file, a socket, a setting or an environment variable.
"""
