"""A worker's start, as its supervisor sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from infra.datadir import CONFIG_VARIABLE, VARIABLE
from streams.worker import KAFKA_AWAY


def test_a_start_without_kafka_is_one_clear_line(tmp_path):
    """No traceback: a structured line that says what is away, and an exit code of its own."""
    (tmp_path / "sealstream.toml").write_text('[kafka]\nbootstrap = "127.0.0.1:1"\n')
    environment = {name: value for name, value in os.environ.items() if name != CONFIG_VARIABLE}
    ended = subprocess.run(
        [sys.executable, "-m", "infra.cli", "streams", "run"],
        env={**environment, VARIABLE: str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == KAFKA_AWAY
    told = [json.loads(line) for line in (ended.stdout + ended.stderr).splitlines()]
    assert told[-1]["event"] == "worker_not_started"
    assert told[-1]["reason"] == "Kafka at 127.0.0.1:1 does not answer"
