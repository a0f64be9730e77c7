"""`sealstream unlock` with several KEKs: which passphrases it gives, and when it stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.unlock.process import OpenedKeys
from gateway.unlock.refusal import RefusedError
from infra.cli.unlock import _open
from schemas.unlock_channel import Offer, answer

SESSION = bytes(16)


class Server:
    """Opens each KEK by its passphrase, as an opener does."""

    def __init__(self, **passphrases: str) -> None:
        self.offer = Offer(SESSION)
        self.public, self.viewer = answer(self.offer.public, SESSION)
        self._channel = self.offer.accept(self.public)
        self.closed = dict(passphrases)
        self.asked = 0

    async def open(self, _public: bytes, sealed: bytes) -> OpenedKeys:
        self.asked += 1
        given = self._channel.open(sealed).decode()
        opened = [name for name, passphrase in self.closed.items() if passphrase == given]
        if not opened:
            raise RefusedError("wrong_passphrase", "the passphrase is wrong")
        for name in opened:
            del self.closed[name]
        return OpenedKeys(opened, sorted(self.closed))


async def give(server: Server, folder: Path, *passphrases: str) -> None:
    files = [folder / str(number) for number in range(len(passphrases))]
    for file, passphrase in zip(files, passphrases, strict=True):
        file.write_text(passphrase + "\n")
    await _open(server, server.public, server.viewer, sorted(server.closed), files)  # type: ignore[arg-type]


async def test_each_file_is_given_while_something_is_closed(tmp_path: Path) -> None:
    """One for each KEK, and none when all are open; one alone opens what it opens, without asking for more."""
    server = Server(new="n", old="o")
    await give(server, tmp_path, "n", "o", "never read")
    assert (server.closed, server.asked) == ({}, 2)
    server = Server(new="n", old="o")
    await give(server, tmp_path, "n")
    assert (server.closed, server.asked) == ({"old": "o"}, 1)


async def test_a_file_that_opens_nothing_is_told(tmp_path: Path) -> None:
    """Whether it is the first or a later one."""
    for passphrases in (("wrong",), ("n", "wrong")):
        with pytest.raises(RefusedError, match="wrong"):
            await give(Server(new="n", old="o"), tmp_path, *passphrases)
