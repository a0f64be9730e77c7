"""Each generated configuration in the real program: an approved address passes, another one is refused (R5.1, R2.9)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from infra import pki
from infra.approved import Approval, ApprovedNodes
from infra.cluster import own_database
from infra.render import nftables, nginx, pg_hba, redis
from infra.render.nodes import node_ports
from infra.settings import Settings
from infra.stack.account import find_account, give
from infra.stack.ports import choose_port
from infra.stack.postgresql import find_programs
from tests.running_stack import open_directory, run_cli

pytestmark = pytest.mark.live

APPROVED, OTHER = "127.0.0.1", "127.0.0.2"
ONE = Approval.parse([APPROVED], "here")
BOTH = Approval.parse([APPROVED, OTHER], "here")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that the stores' account may enter."""
    root = open_directory()
    yield root
    shutil.rmtree(root, ignore_errors=True)  # what runs in it ends a moment later


def settings_in(root: Path, **tables: object) -> Settings:
    return Settings(node={"data_dir": root}, **tables)  # type: ignore[arg-type]


def connect_from(source: str, port: int) -> socket.socket:
    """A connection to this machine that comes from that address."""
    return socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))


# PostgreSQL


@contextmanager
def postgresql(root: Path, access: str) -> Iterator[int]:
    """Debian's server with a cluster of its own and that pg_hba.conf; its port."""
    programs, account, port = find_programs(), find_account(), choose_port("postgresql")
    given = {} if account is None else account.arguments
    home = give(root / "pg", account)
    initdb = [programs / "initdb", f"--pgdata={home / 'cluster'}", "--auth=scram-sha-256", "--username=sealstream"]
    secret = home / "password"
    secret.write_text("secret\n")
    give(home, account)
    subprocess.run([*initdb, f"--pwfile={secret}"], check=True, capture_output=True, cwd=home, **given)
    (home / "cluster" / "pg_hba.conf").write_text(access)
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    command = [programs / "postgres", "-D", home / "cluster", *options]
    server = subprocess.Popen(command, cwd=home, stderr=subprocess.DEVNULL, **given)
    try:
        assert eventually(lambda: _accepts(port)), server.poll()
        yield port
    finally:
        server.send_signal(2)
        server.wait(60)


def _accepts(port: int) -> bool:
    """Whether the server has started: until then it says so to everybody."""
    try:
        return "starting up" not in greet_postgresql(APPROVED, port)
    except OSError:
        return False


def greet_postgresql(source: str, port: int) -> str:
    """What the server says to a StartupMessage from that address: `R` asks for the password, `E` refuses."""
    body = (3 << 16).to_bytes(4) + b"user\0sealstream\0database\0postgres\0\0"
    with connect_from(source, port) as connection:
        connection.sendall((len(body) + 4).to_bytes(4) + body)
        answer = connection.recv(4096)
    return answer[:1].decode() + answer[5:].decode("utf-8", "replace")


def test_postgresql_asks_approved_addresses_for_a_password_and_rejects_others(place: Path) -> None:
    """By the rendered pg_hba.conf; after the list has grown and been taken up, the other address is asked too."""
    settings = settings_in(place)
    with postgresql(place, pg_hba.render(settings, ONE)) as port:
        assert "SCRAM-SHA-256" in greet_postgresql(APPROVED, port)
        refused = greet_postgresql(OTHER, port)
        assert refused.startswith("E")
        assert f'rejects connection for host "{OTHER}"' in refused
        (place / "pg" / "cluster" / "pg_hba.conf").write_text(pg_hba.render(settings, BOTH))
        pid = int((place / "pg" / "cluster" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, 1)  # what pg_reload_conf() does
        assert eventually(lambda: "SCRAM-SHA-256" in greet_postgresql(OTHER, port))


def test_the_local_stacks_postgresql_follows_the_list(backing: Settings) -> None:
    """Who is approved by command is asked for a password within seconds, and rejected again when taken off."""
    port, node = own_database(backing).port, "127.0.0.3"
    assert greet_postgresql(node, port).startswith("E")
    try:
        assert run_cli(backing.node.data_dir, "approved", "add", node).returncode == 0
        assert eventually(lambda: greet_postgresql(node, port).startswith("R"))
    finally:
        run_cli(backing.node.data_dir, "approved", "remove", node)
    assert eventually(lambda: greet_postgresql(node, port).startswith("E"))


def eventually(fact: Callable[[], bool]) -> bool:
    """Whether something becomes so within seconds."""
    deadline = time.monotonic() + 90
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


# nginx


@asynccontextmanager
async def elasticsearch(directory: Path) -> AsyncIterator[int]:
    """Something with Elasticsearch's certificate that answers; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "elasticsearch.pem", directory / "elasticsearch.key")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nindices")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def get(source: str, port: int, ca: Path) -> bytes:
    """The whole answer to `GET /` from that address; empty where the connection is closed."""
    trust = ssl.create_default_context(cafile=str(ca))
    connecting = asyncio.open_connection(
        "127.0.0.1", port, ssl=trust, server_hostname="localhost", local_addr=(source, 0)
    )
    reader, writer = await asyncio.wait_for(connecting, 60)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    try:
        return await asyncio.wait_for(reader.read(), 60)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def run(*command: str | Path) -> None:
    """Run a program that must succeed."""
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)


@pytest.mark.skipif(not Path("/usr/sbin/nginx").exists(), reason="nginx is not installed: infra/bootstrap.sh --demo")
async def test_nginx_passes_approved_addresses_on_and_answers_others_nothing(place: Path) -> None:
    """In front of Elasticsearch, over TLS on both sides; a reload takes a longer list up."""
    pki.make_ca(place / "pki")
    pki.issue(place / "pki", "elasticsearch", server=True, hosts=["localhost", "127.0.0.1"])
    settings, port = settings_in(place), choose_port("elasticsearch")
    async with elasticsearch(place / "pki") as behind:
        where = {"upstream": f"https://127.0.0.1:{behind}", "listen": f"127.0.0.1:{port}"}
        (place / "site.conf").write_text(nginx.render(settings, ONE, **where))
        main = (
            f"user root; pid {place}/pid; error_log {place}/error.log; events {{}}\n"
            f"http {{ access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; "
            f"fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s; "
            f"include {place}/site.conf; }}\n"
        )
        (place / "nginx.conf").write_text(main if os.geteuid() == 0 else main.partition(";")[2])
        command = ["/usr/sbin/nginx", "-c", place / "nginx.conf", "-e", place / "error.log"]
        await run(*command)
        try:
            assert (await get(APPROVED, port, place / "pki" / "ca.pem")).endswith(b"indices")
            assert await get(OTHER, port, place / "pki" / "ca.pem") == b""
            (place / "site.conf").write_text(nginx.render(settings, BOTH, **where))
            await run(*command, "-s", "reload")
            async with asyncio.timeout(60):
                while not (await get(OTHER, port, place / "pki" / "ca.pem")).endswith(b"indices"):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        finally:
            await run(*command, "-s", "stop")


# nftables and Redis, in a network namespace of their own

INSIDE = """
import json, socket, subprocess, sys, time
script, longer, redis_conf, ports = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
run = lambda *command: subprocess.run(command, check=True)
run("ip", "link", "set", "lo", "up")
for address in ("10.77.0.1", "10.77.0.7", "10.77.0.8"):
    run("ip", "addr", "add", address + "/32", "dev", "lo")
kept_nowhere = ["--protected-mode", "no", "--save", "", "--appendonly", "no"]
redis = subprocess.Popen(["redis-server", redis_conf, *kept_nowhere], stdout=subprocess.DEVNULL)
listeners = {name: socket.create_server(("10.77.0.1", port)) for name, port in ports.items() if name != "redis"}
free = socket.create_server(("10.77.0.1", 10000))

def reach(source, port):
    try:
        connection = socket.create_connection(("10.77.0.1", port), timeout=3, source_address=(source, 0))
    except OSError as error:
        return type(error).__name__
    with connection:
        if port == ports["redis"]:
            connection.sendall(b"PING\\r\\n")
            return connection.recv(16).decode().strip()
        return "open"

try:
    for _ in range(1200):
        if reach("10.77.0.7", ports["redis"]) == "+PONG":
            break
        time.sleep(0.05)
    told = {"before": {name: reach("10.77.0.8", port) for name, port in ports.items()}}
    run("nft", "-f", script)
    held = socket.create_connection(("10.77.0.1", ports["mirror"]), timeout=3, source_address=("10.77.0.7", 0))
    told["approved"] = {name: reach("10.77.0.7", port) for name, port in ports.items()}
    told["other"] = {name: reach("10.77.0.8", port) for name, port in ports.items()}
    told["agents"] = reach("10.77.0.8", 10000)
    run("nft", "-f", longer)
    told["later"] = {name: reach("10.77.0.8", port) for name, port in ports.items()}
    told["taken_off"] = {name: reach("10.77.0.7", port) for name, port in ports.items()}
    held.settimeout(3)
    try:
        held.sendall(b"x")
        time.sleep(0.2)
        held.sendall(b"x")
        told["held"] = "open"
    except OSError as error:
        told["held"] = type(error).__name__
    print(json.dumps(told))
finally:
    redis.terminate()
    redis.wait()
"""


def namespaces() -> list[str] | None:
    """How to run a program in a network namespace of its own here, if that is allowed."""
    for command in (["unshare", "--net"], ["unshare", "--user", "--map-root-user", "--net"]):
        works = subprocess.run([*command, "nft", "list", "ruleset"], check=False, capture_output=True)
        if works.returncode == 0:
            return command
    return None


@pytest.mark.skipif(not shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin"), reason="nftables is not installed")
def test_nftables_lets_approved_addresses_reach_node_ports_and_resets_others(place: Path) -> None:
    """All ports between nodes, with Redis behind one; the port of agents stays open; a new list holds at once."""
    enter = namespaces()
    if enter is None:
        pytest.skip("no network namespace may be made here")
    settings = settings_in(place, redis={"url": "redis://10.77.0.1:6379/0"})
    first, then = Approval.parse(["10.77.0.7"], "here"), Approval.parse(["10.77.0.8"], "here")
    for name, approval in (("first.nft", first), ("then.nft", then)):
        (place / name).write_text(nftables.render(settings, approval))
    (place / "redis.conf").write_text(redis.render(settings, first))
    ports = dict(node_ports(settings))
    arguments = [place / "first.nft", place / "then.nft", place / "redis.conf", json.dumps(ports)]
    ran = subprocess.run(
        [*enter, sys.executable, "-c", INSIDE, *arguments], check=False, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    through = {name: "+PONG" if name == "redis" else "open" for name in ports}
    cut_off = dict.fromkeys(ports, "ConnectionRefusedError")
    assert set(ports) == {"mirror", "miner", "redis", "elasticsearch", "postgresql", "kafka"}
    assert told["before"] == through, "without the table everybody gets in: the test could not fail otherwise"
    assert told["approved"] == through
    assert told["other"] == cut_off
    assert told["agents"] == "open"
    assert told["later"] == through
    assert told["taken_off"] == cut_off
    assert told["held"] in {"ConnectionResetError", "BrokenPipeError"}, "what was connected is cut off, too"


def test_redis_listens_to_this_machine_alone_where_it_is_for_no_other(place: Path) -> None:
    """A real Redis takes the file, and is on no other address than the loopback's."""
    port = choose_port("redis")
    settings = settings_in(place, redis={"url": f"redis://127.0.0.1:{port}/0"})
    (place / "redis.conf").write_text(redis.render(settings, ONE) + f"dir {place}\nsave ''\n")
    server = subprocess.Popen(["redis-server", place / "redis.conf"], stdout=subprocess.DEVNULL)
    try:
        assert eventually(lambda: _listens("127.0.0.1", port))
        assert not _listens("127.0.0.2", port)
        rendered = redis.render(
            settings_in(place, redis={"url": "redis://10.0.0.5:6379/0"}), Approval.parse(["10.0.0.7"], "")
        )
        assert "bind 127.0.0.1 -::1 10.0.0.5\n" in rendered
        assert "nftables" in rendered
    finally:
        server.terminate()
        server.wait(60)


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def test_the_command_writes_what_it_made_and_nobody_elses_file(place: Path) -> None:
    """`--out` replaces its own file alone, and `--then` tells the program."""
    (place / "sealstream.toml").write_text('[postgresql]\ndsn = "postgresql://x@127.0.0.1:1/x"\n')
    out = place / "nodes.nft"
    first = run_cli(place, "infra", "render", "nftables", "--out", str(out), "--then", f"cp {{}} {place}/taken")
    assert first.returncode == 0, first.stderr
    assert (place / "taken").read_text() == out.read_text()
    assert run_cli(place, "infra", "render", "nftables", "--out", str(out)).returncode == 0
    out.write_text("table inet mine {}\n")
    assert run_cli(place, "infra", "render", "nftables", "--out", str(out)).returncode == 2
    assert out.read_text() == "table inet mine {}\n"
    assert run_cli(place, "infra", "render", "nftables", "--out", str(out), "--force").returncode == 0
    failing = run_cli(place, "infra", "render", "nftables", "--out", str(out), "--then", "false {}")
    assert failing.returncode == 2


def test_following_writes_the_list_anew_when_it_changes(place: Path) -> None:
    """`--follow` is all that a node needs: an address that is approved is let in within seconds."""
    (place / "sealstream.toml").write_text('[postgresql]\ndsn = "postgresql://x@127.0.0.1:1/x"\n')
    out = place / "nodes.nft"
    command = [sys.executable, "-m", "infra.cli", "infra", "render", "nftables", "--out", str(out), "--follow"]
    following = subprocess.Popen(command, env={**os.environ, "SEALSTREAM_DATA": str(place)}, stderr=subprocess.DEVNULL)
    try:
        assert eventually(lambda: out.exists() and "127.0.0.1/32" in out.read_text())
        assert run_cli(place, "approved", "add", "10.0.0.7", "--local").returncode == 0
        assert eventually(lambda: "10.0.0.7/32" in out.read_text())
        assert ApprovedNodes(settings_in(place)).approves("10.0.0.7")
    finally:
        following.terminate()
        following.wait(60)
