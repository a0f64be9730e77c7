"""A worker's start, as its supervisor sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from infra.datadir import CONFIG_VARIABLE, VARIABLE
from schemas.keys import Identity
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


LOST_AFTER_THE_PROBE = """
import streams.worker
from infra.settings import load_settings

async def found(settings):
    pass

streams.worker.require_kafka = found
streams.worker.run_worker(load_settings(), 1)
"""


def test_a_kafka_that_goes_away_while_a_worker_starts_is_told_the_same(tmp_path):
    """It answered the worker's probe, and nothing since: no traceback either."""
    identity = Identity.generate(2048)
    for name, data in {
        "keys/kek.pem": identity.to_pem(b"secret"),
        "keys/kek.pub.pem": identity.recipient.to_pem(),
        "secrets/kek.passphrase": b"secret\n",
        "secrets/postgresql.password": b"none\n",
        "sealstream.toml": b'[kafka]\nbootstrap = "127.0.0.1:1"\n[postgresql]\ndsn = "postgresql://a@127.0.0.1:1/b"\n',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    environment = {name: value for name, value in os.environ.items() if name != CONFIG_VARIABLE}
    ended = subprocess.run(
        [sys.executable, "-c", LOST_AFTER_THE_PROBE],
        env={**environment, VARIABLE: str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == KAFKA_AWAY
    told = [json.loads(line) for line in (ended.stdout + ended.stderr).splitlines()]
    assert told[-1]["event"] == "worker_not_started"
    assert not any("exception" in line for line in told)
