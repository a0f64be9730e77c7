"""`python -m infra.pulse`: what health checks ask; and what a deployment of containers shares."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from infra import pulse
from infra.datadir import DataDir
from infra.health import HealthServer, write_note
from infra.metrics import Metrics
from infra.pki.certificates import load_ca
from infra.pulse import find_faults
from infra.settings import load_settings
from infra.site import make_site


async def well() -> str:
    return ""


async def ill() -> str:
    return "waits for PostgreSQL"


async def ask(data: DataDir, *names: str, alive: bool = False) -> list[str]:
    import asyncio

    return await asyncio.to_thread(find_faults, data, names, alive=alive)


async def test_a_process_that_is_well_is_no_fault(tmp_path: Path) -> None:
    """By its name, and where no name is given."""
    data = DataDir(tmp_path)
    async with HealthServer(data, "sink-disk", {"store": well}, Metrics(())):
        assert await ask(data, "sink-disk") == await ask(data) == []
        assert await ask(data, "sink-disk", "gateway") == ["gateway: does not run"]


async def test_two_of_one_name_do_not_hide_each_other(tmp_path: Path) -> None:
    """The note of one that lives stays; that of one that is gone is taken over; what notes no process is none."""
    data = DataDir(tmp_path)
    write_note(data.run / "gateway.json", {"pid": os.getppid(), "health": "http://127.0.0.1:1/healthz"})
    write_note(data.run / "wishes.json", {"wished": {}})
    async with HealthServer(data, "gateway", {"store": well}, Metrics(())):
        assert await ask(data, f"gateway-{os.getpid()}") == []
        assert await ask(data) == ["gateway: does not answer (ConnectionRefusedError)"]
    assert json.loads((data.run / "gateway.json").read_text())["pid"] == os.getppid()
    write_note(data.run / "gateway.json", {"pid": 1 << 22, "health": "http://127.0.0.1:1/healthz"})
    async with HealthServer(data, "gateway", {"store": well}, Metrics(())):
        assert await ask(data) == []


async def test_what_a_process_waits_for_is_told(tmp_path: Path) -> None:
    """It is not well, but it is alive."""
    data = DataDir(tmp_path)
    async with HealthServer(data, "sink-postgresql", {"store": ill}, Metrics(())):
        (fault,) = await ask(data, "sink-postgresql")
        assert "waits for PostgreSQL" in fault
        assert await ask(data, "sink-postgresql", alive=True) == []


async def test_a_process_that_was_killed_is_a_fault(tmp_path: Path) -> None:
    """Its note is still there, and nobody answers; nor where a note is damaged, nor where nothing runs at all."""
    data = DataDir(tmp_path)
    assert await ask(data) == [f"nothing runs in {tmp_path}"]
    data.run.mkdir()
    (data.run / "gateway.json").write_text(json.dumps({"pid": 1, "health": "http://127.0.0.1:9/healthz"}))
    (data.run / "streams-1.json").write_text("{")
    assert [fault.partition(" (")[0] for fault in await ask(data)] == [
        "gateway: does not answer",
        "streams-1: does not answer",
    ]


def test_the_command_ends_with_1_for_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says which."""
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    assert pulse.main(["--alive", "gateway"]) == 1
    assert capsys.readouterr().err == "gateway: does not run\n"


def test_a_site_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of a fleet, secrets for their owner alone, certificates of the names in use; and nothing anew."""
    from infra.doctor.certificates import load, names_of
    from infra.doctor.contradictions import find_contradictions

    monkeypatch.setenv("SEALSTREAM_NODE__DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SEALSTREAM_DATA", str(tmp_path))
    make_site(tmp_path, "console.example.org", ["10.0.0.0/8"])
    settings = load_settings()
    assert (settings.kafka.replication, settings.kafka.min_insync) == (3, 2)
    assert find_contradictions(settings) == []
    assert "console.example.org" in names_of(load(settings.gateway.cert_file))
    assert {"elasticsearch", "elasticsearch-0"} <= set(names_of(load(tmp_path / "elasticsearch/elasticsearch.pem")))
    assert load_ca(tmp_path / "pki")[0] == load(tmp_path / "elasticsearch/ca.pem")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    make_site(tmp_path, "other.example.org", [])
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    secret = [*(tmp_path / "secrets").iterdir(), *tmp_path.rglob("*.key"), tmp_path / "elasticsearch/users"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in secret)
