"""Every figure that the capacity model uses: its unit, where it comes from, and how sure it is.

Never holds a figure that is better known than it is: what was not measured says so, and has a wide range.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Case(StrEnum):
    """Which end of every range is taken. A plan is worked out once in each."""

    GOOD = "good"
    LIKELY = "likely"
    BAD = "bad"


class Sure(StrEnum):
    """How a figure is known."""

    MEASURED = "measured"
    """By a bench of the project, on two cores over loopback."""
    SAMPLED = "sampled"
    """Read once from a small running installation: right in its order of magnitude."""
    ASSUMED = "assumed"
    """Nobody measured it."""
    CHOSEN = "chosen"
    """No fact but a decision of who plans: how full a disk may be, how large a host is."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: what it is where things go well, as is likely, and where they go badly."""

    name: str
    unit: str
    good: float
    likely: float
    bad: float
    sure: Sure
    where: str
    """The bench and what it told, or why the value was taken."""

    def at(self, case: Case) -> float:
        """Its value in this case."""
        return {Case.GOOD: self.good, Case.LIKELY: self.likely, Case.BAD: self.bad}[case]


def chosen(name: str, unit: str, value: float, where: str) -> Figure:
    """A decision: the same in each case."""
    return Figure(name, unit, value, value, value, Sure.CHOSEN, where)


# What people do
MOVING = Figure(
    "seconds in which a screen changes", "share", 0.1, 0.15, 0.25, Sure.ASSUMED,
    "the office hour of bench ocr is made of 15 % moving seconds; no real office was watched",
)  # fmt: skip
OTHER_ENVELOPES = Figure(
    "envelopes of other streams", "an agent and hour", 200, 600, 2000, Sure.ASSUMED,
    "keystrokes, activity, mail; segments close after 1 s, so that 3,600 a stream and hour are the most",
)  # fmt: skip
OTHER_DOCUMENTS = Figure(
    "documents of other streams", "an agent and hour", 20, 60, 200, Sure.ASSUMED, "terminal, mail, window titles"
)
DOCUMENTS_PER_FRAME = Figure(
    "screen documents", "a changed frame", 0.3, 0.6, 1, Sure.ASSUMED,
    "one for each display of a segment on which text appeared or went; 1 is the most",
)  # fmt: skip
WORKDAYS = Figure("days with work", "share of days", 0.6, 5 / 7, 1, Sure.ASSUMED, "a week of five days; shifts: all")
WATCHED = Figure("agents watched live at once", "share", 0.002, 0.01, 0.03, Sure.ASSUMED, "no office was asked")
WATCHED_BYTES = Figure(
    "live picture", "KB/s a viewer", 10, 50, 200, Sure.ASSUMED, "two pictures a second of what changed; not measured"
)

# Application servers
GATEWAY_GB = Figure(
    "gateway, by volume", "CPU-s/GB", 1.7, 1.9, 4, Sure.MEASURED,
    "bench gateway: 1.74 for 1 KB events, 0.91 of syslog-ng's 2.09 for 64 KB envelopes",
)  # fmt: skip
GATEWAY_PUSH = Figure(
    "gateway, for each push", "CPU-ms", 0.05, 0.15, 0.4, Sure.ASSUMED, "bench fleet can tell it: its cpu_percent"
)
CONNECTION = Figure("idle connection", "KiB", 24, 28, 35, Sure.MEASURED, "bench connections: 27.8")
GATEWAY_BASE = Figure(
    "gateway process without agents", "MiB", 80, 90, 150, Sure.MEASURED,
    "bench fleet: 117 MiB with 1,000 agents at 10 MB/h, less their connections; the console's load is not in it",
)  # fmt: skip
GATEWAY_BUDGET = chosen("envelopes in memory while Kafka stalls", "MiB a process", 256, "gateway.memory_budget_bytes")
RETURN = Figure(
    "an agent coming back", "ms a process", 3, 4.2, 8, Sure.MEASURED,
    "bench fleet: a storm of 1,000 acknowledged after 4.2 s; of that 2.5 ms handshake on secp384r1, 0.5 on X25519",
)  # fmt: skip
ACK = Figure(
    "ack, 99th percentile", "ms", 5, 6.8, 50, Sure.MEASURED,
    "bench fleet: 6.8 with 1,000 agents on one process and one broker; three brokers over a network: not measured",
)  # fmt: skip
AGENTS_PER_PROCESS = Figure(
    "agents a gateway process", "agents", 5000, 2500, 1000, Sure.ASSUMED,
    "1,000 working and 10,000 idle ones were tried; between them nothing",
)  # fmt: skip

# Kafka
BROKER_RATE = Figure(
    "a broker's writes, its copies of others' among them", "MB/s", 300, 100, 40, Sure.ASSUMED,
    "bench gateway put 401 MB/s into one broker without replicas over loopback; real disks and networks are slower",
)  # fmt: skip
BROKER_GB = Figure("broker, for each copy written", "CPU-s/GB", 2, 5, 15, Sure.ASSUMED, "not measured")
BROKER_MEMORY = Figure("broker's memory, page cache included", "GiB", 4, 8, 16, Sure.ASSUMED, "a usual size")
PARTITION_RATE = Figure("one partition", "MB/s", 20, 10, 5, Sure.ASSUMED, "a usual rule")

# Miners
OCR_FRAME = Figure(
    "OCR of a frame while a screen changes", "CPU-s", 0.07, 0.11, 0.2, Sure.MEASURED,
    "bench ocr: 22.8 times the tesseract command's 2.25 s over eight traces, of which one idles and costs next to "
    "nothing; other fonts, languages and larger screens were not tried",
)  # fmt: skip
MINE_ENVELOPE = Figure(
    "opening and reading an envelope", "CPU-ms", 0.3, 1, 3, Sure.ASSUMED,
    "0.08 to 0.14 of it is Faust's, measured; bench replay can tell the rest",
)  # fmt: skip
OCR_MEMORY = Figure("OCR process", "GiB", 0.25, 0.4, 0.8, Sure.ASSUMED, "not measured")
OCR_PER_WORKER = chosen("OCR processes a worker", "processes", 4, "streams.ocr_workers; the default is 1")

# Sinks and stores
ARCHIVE_RATE = Figure(
    "disk sink", "MB/s a process", 1000, 300, 80, Sure.ASSUMED,
    "bench sinks: 1.27 of writev and fdatasync, which was 1,100 to 1,380 on the disk there; yours may be slower",
)  # fmt: skip
SINK_GB = Figure("disk sink", "CPU-s/GB", 1, 2, 5, Sure.ASSUMED, "not measured by itself")
POSTGRESQL_ROWS = Figure(
    "rows into PostgreSQL", "rows/s", 130_000, 90_000, 30_000, Sure.MEASURED,
    "bench sinks: 0.78 to 0.89 of COPY, 106,000 to 146,000; into small tables: large indexes are slower",
)  # fmt: skip
POSTGRESQL_ENVELOPE = Figure(
    "an envelope in PostgreSQL", "bytes", 350, 630, 1000, Sure.SAMPLED,
    "a test installation: 306 for each of 5,724 envelopes, 427 for each of 4,261 entries of the archive's index",
)  # fmt: skip
POSTGRESQL_ROWS_EACH = Figure("rows of an envelope", "rows", 1, 2, 3, Sure.SAMPLED, "its own, its place, its activity")
POSTGRESQL_DISK = chosen("one primary before it must be partitioned", "GiB", 2000, "backups, vacuum and restore time")
DOCUMENT_RATE = Figure(
    "documents into an Elasticsearch node", "documents/s", 60_000, 15_000, 4000, Sure.ASSUMED,
    "bench sinks: 0.83 of 77,000 to 82,000 for documents of 400 B on two cores; ours have about 1.5 KB",
)  # fmt: skip
DOCUMENT_BYTES = Figure(
    "a document in Elasticsearch", "bytes a copy", 700, 1500, 3000, Sure.SAMPLED,
    "a test installation: 2,734 documents took 4.2 MB in an index that was young: larger ones merge better",
)  # fmt: skip
SEARCH_MEMORY = Figure(
    "memory for each GiB of index", "GiB", 0.01, 0.025, 0.04, Sure.ASSUMED, "a usual rule; half of it heap"
)
SEARCH_DISK = chosen("index on one Elasticsearch node", "GiB", 1500, "a usual size; restoring one takes hours")
SEARCH_BASE = Figure("least memory of an Elasticsearch node", "GiB", 2, 4, 8, Sure.ASSUMED, "half of it heap")
DATABASE_BASE = Figure("least memory of a PostgreSQL server", "GiB", 1, 2, 4, Sure.ASSUMED, "a usual size")
DATABASE_MEMORY = Figure(
    "memory for each GiB of PostgreSQL",
    "GiB",
    0.005,
    0.02,
    0.04,
    Sure.ASSUMED,
    "what is written and read is the newest",
)
DOCUMENT_RECORD = Figure("a document's record in Kafka", "bytes", 300, 800, 2000, Sure.ASSUMED, "compressed in part")
ALERT_RATE = Figure(
    "records that the one worker of `alerts` reads", "records/s", 10_000, 5000, 1000, Sure.ASSUMED,
    "Faust alone: 5,700 to 12,200, measured; rules cost more",
)  # fmt: skip

# Live
SOUND_STREAMS = Figure(
    "sound relayed", "agents a core", 4000, 3100, 1500, Sure.MEASURED, "bench live: 157,000 packets a second and core"
)

# What who plans decided
BUSY = chosen("use of a core at peak", "share", 0.6, "room for bursts, restarts and the loss of a host")
FULL = chosen("use of a disk", "share", 0.7, "room for compaction, merges and a stalled consumer")
HOST_CORES = chosen("host", "cores", 8, "a small server; what does not fit gets more of them")
HOST_MEMORY = chosen("host", "GiB", 32, "a small server")
LEAST_PROCESS = chosen("least of a process", "cores", 0.25, "an idle process wakes up too")
LEAST_ENGINE = chosen("least of a broker or database", "cores", 1, "compaction, merges and vacuum run on the side")
PROCESS_MEMORY = Figure("worker or sink process", "GiB", 0.15, 0.3, 0.6, Sure.ASSUMED, "not measured by itself")
GROWTH = chosen("growth of the partitions", "times", 2, "kafka.partitions cannot be changed afterwards")

FIGURES: tuple[Figure, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Figure))
"""All of them, in the order above."""
