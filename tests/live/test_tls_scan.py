"""What sslscan and testssl.sh see of a gateway's two TLS ports: each profile to the letter (R3.1, R3.2, R3.3, R3.5)."""

from __future__ import annotations

import asyncio
import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.memory import MemoryPublisher
from gateway.run import Gateway
from infra import pki
from infra.settings import Settings
from infra.stack.ports import choose_port
from infra.tls import SUITES, Profile
from infra.tls.profile import SUITES_1_3

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not shutil.which("sslscan"), reason="sslscan is not installed: infra/bootstrap.sh --demo"),
]

P384, P256, X25519 = "secp384r1 (NIST P-384)", "secp256r1 (NIST P-256)", "x25519"


def rsa_suites(profile: Profile, listener: str) -> list[str]:
    """The suites of a profile for a gateway whose certificate is RSA."""
    return [suite for suite in SUITES[profile, listener] if "ECDSA" not in suite]  # type: ignore[index]


@asynccontextmanager
async def gateway(directory: Path, profile: Profile) -> AsyncIterator[dict[str, int]]:
    """A gateway with its own ports, and the port of each listener; Kafka is in memory."""
    pki.make_ca(directory / "pki")
    pki.issue(directory / "pki", "gateway", server=True, hosts=["127.0.0.1", "localhost"])
    pki.issue(directory / "pki", "agent", server=False)
    ports = {name: choose_port(name) for name in ("agent", "https", "mirror")}
    nowhere = {"password_file": None, "dsn": "postgresql://nobody@127.0.0.1:1/nothing"}
    settings = Settings(
        node={"data_dir": directory},  # type: ignore[arg-type]
        gateway={"tls_profile": profile, **{f"{name}_port": port for name, port in ports.items()}},  # type: ignore[arg-type]
        kafka={"bootstrap": "127.0.0.1:1"},  # type: ignore[arg-type]
        postgresql=nowhere,  # type: ignore[arg-type]
    )
    settings.data.run.mkdir(parents=True)
    stop = asyncio.Event()
    running = asyncio.create_task(Gateway(settings, MemoryPublisher()).run(stop))
    try:
        async with asyncio.timeout(60):
            while not list(settings.data.run.glob("gateway*.json")) and not running.done():  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.05)
        if running.done():
            await running
        yield ports
    finally:
        stop.set()
        await running


async def run(*command: str | Path, timeout_s: float) -> str:
    """What a program prints."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        process.kill()
        raise
    return output.decode("utf-8", "replace")


async def sslscan(directory: Path, port: int) -> ET.Element:
    """The findings of sslscan; it shows an agent's certificate where it is asked for one."""
    files = [f"--certs={directory}/pki/agent.pem", f"--pk={directory}/pki/agent.key"]
    found = ET.fromstring(await run("sslscan", "--xml=-", *files, f"127.0.0.1:{port}", timeout_s=180)).find("ssltest")
    assert found is not None
    return found


@pytest.mark.parametrize("profile", list(Profile))
async def test_sslscan_sees_each_profile_to_the_letter(profile: Profile, tmp_path: Path) -> None:
    """Versions, suites in their order, groups, and the size of Diffie-Hellman's; no compression, no renegotiation."""
    modern = profile is Profile.MODERN
    async with gateway(tmp_path, profile) as ports:
        for listener in ("agent", "https"):
            found = await sslscan(tmp_path, ports[listener])
            versions = [
                f"{it.get('type')}{it.get('version')}" for it in found.iter("protocol") if it.get("enabled") == "1"
            ]
            assert versions == (["tls1.2", "tls1.3"] if modern else ["tls1.2"])
            suites = [it.get("cipher") for it in found.iter("cipher") if it.get("sslversion") == "TLSv1.2"]
            assert suites == rsa_suites(profile, listener)
            newer = [it.get("cipher") for it in found.iter("cipher") if it.get("sslversion") == "TLSv1.3"]
            assert newer == (list(SUITES_1_3) if modern else [])
            groups = {(it.get("sslversion"), it.get("name")) for it in found.iter("group")}
            wanted = {X25519, P256, P384} if modern else {P384}
            assert groups == {
                (version, name) for version in (["TLSv1.2", "TLSv1.3"] if modern else ["TLSv1.2"]) for name in wanted
            }
            assert {it.get("dhebits") for it in found.iter("cipher")} - {None} == (
                {"2048"} if not modern and listener == "https" else set()
            )
            renegotiation = found.find("renegotiation")
            assert renegotiation is not None
            assert renegotiation.get("supported") == "0"
            assert all(it.get("supported") == "0" for it in found.iter("compression"))
            assert all(it.get("vulnerable") == "0" for it in found.iter("heartbleed"))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("testssl"), reason="testssl.sh is not installed: infra/bootstrap.sh --demo")
@pytest.mark.parametrize(
    ("profile", "listener"),
    [
        (Profile.MODERN, "https"),
        (Profile.DATASHEET, "https"),
        (Profile.DATASHEET, "agent"),
        (Profile.DATASHEET_ECDHE, "agent"),
    ],
)
async def test_testssl_sees_each_profile_to_the_letter(profile: Profile, listener: str, tmp_path: Path) -> None:
    """Of the 370 suites that testssl.sh tries, on every version, exactly the profile's are offered."""
    modern = profile is Profile.MODERN
    async with gateway(tmp_path, profile) as ports:
        found = await testssl(tmp_path, ports[listener])
    versions = ("SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3")
    offered = {name for name in versions if found[name].startswith("offered")}
    assert offered == ({"TLS1_2", "TLS1_3"} if modern else {"TLS1_2"}), found
    suites = {text.split()[1] for name, text in found.items() if name.startswith("cipher_")}
    assert suites == {*rsa_suites(profile, listener), *(SUITES_1_3 if modern else ())}, listener
    exchanges = {" ".join(text.split()[2:4]) for text in found.values() if "DHE-RSA" in text}
    assert modern or exchanges == ({"ECDH 384", "DH 2048"} if listener == "https" else {"ECDH 384"})


async def testssl(directory: Path, port: int) -> dict[str, str]:
    """The findings of testssl.sh: of protocols and of each suite."""
    results = directory / f"{port}.json"
    quiet = ("--warnings", "off", "--color", "0", "--quiet", "--ip", "127.0.0.1")
    await run("testssl", *quiet, "-p", "-e", "--jsonfile", results, f"localhost:{port}", timeout_s=600)
    return {row["id"]: row["finding"] for row in json.loads(results.read_text())}


testssl.__test__ = False  # type: ignore[attr-defined]  # a program, not a test
