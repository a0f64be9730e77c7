"""The approved nodes (R5.1): one list, by which our listeners and the generated configurations decide whom to serve.

Never decides by name, only by the address that a connection really comes from. Never widens the list by a fault: a file
or a table that cannot be read leaves what was known.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from infra.files import write_whole
from schemas.errors import ConfigError

if TYPE_CHECKING:
    import asyncpg

    from infra.settings import Settings

log = structlog.get_logger()

FILE_NAME = "approved"
"""The file in the data directory: an address or network a line; what follows `#` is a remark."""

TABLE = "approved_node"
LOOK_AGAIN_S = 2.0
"""How soon a change of the file or the table holds."""

_QUERY_TIMEOUT_S = 5.0

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Approval:
    """Approved networks; a single address is a network of one."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str], where: str) -> Approval:
        """Each text an address or a network (CIDR); raises `ConfigError` for what is neither."""
        return cls(tuple(dict.fromkeys(parse_network(text, where) for text in texts)))

    def __or__(self, other: Approval) -> Approval:
        return Approval(tuple(dict.fromkeys((*self.networks, *other.networks))))

    def approves(self, address: str) -> bool:
        """Whether that address is approved; an IPv4 address mapped into IPv6 counts as the IPv4 address it is."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
        return any((mapped or parsed) in network for network in self.networks)

    def __contains__(self, address: object) -> bool:
        return self.approves(str(address))

    def of_version(self, version: int) -> tuple[Network, ...]:
        """The networks of IPv4 (4) or IPv6 (6), none within another, sorted: as packet filters want them."""
        chosen = [network for network in self.networks if network.version == version]
        return tuple(ipaddress.collapse_addresses(chosen))  # type: ignore[type-var]  # they are all of one version


class ApprovedNodes:
    """The list as it is now: `node.approved` of the settings, the file, and the table, together.

    The table is what the nodes share; the file holds where no database answers. `follow` keeps both up to date.
    """

    def __init__(self, settings: Settings, changed: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._changed = changed
        self._file = settings.node.data_dir / FILE_NAME
        self._copy = settings.data.run / "approved.table"
        self._stamp: tuple[int, int] | None = None
        self._fixed = Approval.parse(settings.node.approved, "node.approved")
        self._filed = self._read_file()
        self._shared = self._read_copy()

    @property
    def approval(self) -> Approval:
        """All that is approved now."""
        return self._fixed | self._filed | self._shared

    def approves(self, address: str) -> bool:
        """Whether a connection from that address is served."""
        return any(part.approves(address) for part in (self._fixed, self._filed, self._shared))

    def __contains__(self, address: object) -> bool:
        return self.approves(str(address))

    def reload(self) -> bool:
        """Read the file again if it has changed; whether that changed what is approved."""
        before = self._filed
        try:
            self._filed = self._read_file()
        except ConfigError as error:
            log.error("approved_unusable", reason=str(error))  # noqa: TRY400 - the message is all there is to say
        return self._note(self._filed != before)

    async def reload_table(self, connection: asyncpg.Connection[Any]) -> bool:
        """Read the table; whether that changed what is approved. A copy is kept for a start without the database."""
        before, self._shared = self._shared, await read_table(connection)
        if self._shared != before or not self._copy.exists():
            text = "".join(f"{network}\n" for network in self._shared.networks)
            self._copy.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._copy, text.encode(), mode=0o644)
        return self._note(self._shared != before)

    async def follow(self) -> None:
        """Keep the list up to date until cancelled; a database that is away is waited out."""
        away = ""
        while True:
            try:
                await self._follow_table()
            except (OSError, TimeoutError, ConfigError) as error:
                if away != type(error).__name__:
                    away = type(error).__name__
                    log.info("approved_table_away", error=away)
            self.reload()
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _follow_table(self) -> None:
        connection = await connect(self._settings)
        try:
            while True:
                await self.reload_table(connection)
                self.reload()
                await asyncio.sleep(LOOK_AGAIN_S)
        finally:
            connection.terminate()

    def _note(self, changed: bool) -> bool:  # noqa: FBT001 - what it is about
        if changed:
            log.info("approved_changed", networks=len(self.approval.networks))
            self._changed()
        return changed

    def _read_file(self) -> Approval:
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            self._stamp = None
            return Approval()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp == self._stamp:
            return self._filed
        self._stamp = stamp
        return read_file(self._file)

    def _read_copy(self) -> Approval:
        try:
            return read_file(self._copy)
        except ConfigError as error:
            log.error("approved_copy_unusable", reason=str(error))  # noqa: TRY400 - likewise
            return Approval()


def parse_network(text: str, where: str) -> Network:
    """An address or a network; raises `ConfigError` that says where it stands."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ConfigError(
            f"{where}: {text.strip()!r} is neither an address nor a network such as 10.1.0.0/16"
        ) from None


def read_file(path: Path) -> Approval:
    """The approved networks in a file, none where there is no file; raises `ConfigError`."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return Approval()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    rows = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    return Approval(tuple(dict.fromkeys(parse_network(text, f"{path}, line {n}") for n, text in rows if text)))


async def connect(settings: Settings) -> asyncpg.Connection[Any]:
    """A connection to the database of the settings; raises `OSError` or `TimeoutError` while it is away."""
    import asyncpg

    from infra import postgresql
    from infra.settings import postgresql_dsn

    try:
        return await postgresql.connect(postgresql_dsn(settings), timeout=_QUERY_TIMEOUT_S)
    except asyncpg.PostgresError as error:
        raise ConnectionError(str(error)) from None


async def read_table(connection: asyncpg.Connection[Any]) -> Approval:
    """The approved networks in the table."""
    import asyncpg

    try:
        rows = await connection.fetch(f"SELECT network FROM {TABLE} ORDER BY network", timeout=_QUERY_TIMEOUT_S)  # noqa: S608
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ConnectionError(str(error)) from None
    return Approval(tuple(row["network"] for row in rows))
