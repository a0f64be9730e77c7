"""Asks components whether they serve, by their own protocols.

Never takes an open port for an answer.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

_TIMEOUT_S = 5.0


async def http_get(
    url: str, tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None
) -> tuple[int, bytes]:
    """Status and body of a GET; raises `OSError` or `TimeoutError` where there is no answer."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    headers = f"Host: {parts.netloc}\r\nConnection: close\r\n"
    if login is not None:
        headers += f"Authorization: Basic {base64.b64encode(':'.join(login).encode()).decode()}\r\n"
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    async with asyncio.timeout(_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=tls)
        try:
            writer.write(f"GET {path or '/'} HTTP/1.0\r\n{headers}\r\n".encode())
            answer = await reader.read()
        finally:
            writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise OSError(f"{parts.netloc} does not speak HTTP")
    return int(words[1]), body


async def tcp_ask(host: str, port: int, question: bytes, at_most: int = 4096) -> bytes:
    """What is answered first to `question`; raises `OSError` or `TimeoutError` where nothing is."""
    async with asyncio.timeout(_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(question)
            return await reader.read(at_most)
        finally:
            writer.close()


async def check_listens(host: str, port: int) -> None:
    """Raise `OSError` or `TimeoutError` where nobody takes a connection. That is not yet an answer."""
    async with asyncio.timeout(_TIMEOUT_S):
        _, writer = await asyncio.open_connection(host, port)
        writer.close()


async def is_open(addresses: Iterable[tuple[str, int]]) -> bool:
    """Whether somebody takes connections at one of them."""
    for host, port in addresses:
        try:
            await check_listens(host, port)
        except (OSError, TimeoutError):
            continue
        return True
    return False
