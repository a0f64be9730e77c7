"""The pipe between the pool and its processes.

Never carries more than one request at a time.
"""

from __future__ import annotations

import struct

LENGTHS = struct.Struct(">II")
"""Before a request: lengths of its JSON head and of its Avro screen segment."""

LENGTH = struct.Struct(">I")
"""Before an answer: length of its JSON."""
