"""What each role needs in one case: processes, cores, memory, disk, network, and hosts to hold them.

Never plans a role on one host where the load asks for copies: losing any host must lose nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from infra.capacity import figures
from infra.capacity.figures import Case
from infra.capacity.load import Load
from infra.capacity.rates import GIB, MB, Rates, rates_of
from schemas.topics import DOCUMENTS, TOPICS

KIB, MIB = 2.0**10, 2.0**20
BITS = 8 / MB  # bytes a second to Mbit a second

DEFAULT_PARTITIONS = DOCUMENTS.partitions
"""What a topic gets where nothing is set."""


@dataclass(frozen=True, slots=True)
class Need:
    """What one role needs."""

    hosts: float
    """If no other role stood on them."""
    processes: float
    cores: float
    """With room to spare: at the peak they are as busy as `figures.BUSY` says."""
    memory_gib: float
    disk_gib: float
    network_mbit: float
    """In and out together, of the whole role, in the busiest second."""


@dataclass(frozen=True, slots=True)
class Site:
    """One load in one case, with its rates."""

    load: Load
    case: Case
    rates: Rates

    @classmethod
    def of(cls, load: Load, case: Case) -> Site:
        """The site of a load."""
        return cls(load, case, rates_of(load, case))

    @property
    def copies(self) -> int:
        """Of a store, and the least number of hosts of a role."""
        return min(2, self.load.replication)

    def at(self, figure: figures.Figure) -> float:
        """The figure's value here."""
        return figure.at(self.case)

    def need(self, *, processes: float, cpu: float, memory_gib: float, disk_bytes: float = 0, bytes_s: float) -> Need:
        """A role of our own processes. `cpu` is cores that are busy at the peak."""
        cores = max(cpu / self.at(figures.BUSY), processes * self.at(figures.LEAST_PROCESS))
        by_cores = math.ceil(cores / self.at(figures.HOST_CORES))
        by_memory = math.ceil(memory_gib / self.at(figures.HOST_MEMORY))
        hosts = max(self.copies, by_cores, by_memory)
        return Need(hosts, processes, cores, memory_gib, self.disk_gib(disk_bytes), bytes_s * BITS)

    def engine(
        self, *, nodes: float, sinks: float = 0, cpu: float, memory_gib: float, disk_bytes: float, bytes_s: float
    ) -> Need:
        """A role of somebody else's servers, one on a host, with the sinks that fill them."""
        least = nodes * self.at(figures.LEAST_ENGINE) + sinks * self.at(figures.LEAST_PROCESS)
        cores = max(cpu / self.at(figures.BUSY), least)
        memory = memory_gib + sinks * self.at(figures.PROCESS_MEMORY)
        return Need(nodes, nodes + sinks, cores, memory, self.disk_gib(disk_bytes), bytes_s * BITS)

    def disk_gib(self, kept: float) -> float:
        """The disk for so many bytes, not quite full."""
        return kept / GIB / self.at(figures.FULL)


def need_gateways(site: Site) -> Need:
    """Application servers: agents' envelopes in, Kafka's records out, live pictures on the side."""
    processes = gateway_processes(site)
    mib = processes * (site.at(figures.GATEWAY_BASE) + site.at(figures.GATEWAY_BUDGET))
    mib += site.load.agents * site.at(figures.CONNECTION) * KIB / MIB
    live = site.load.agents * site.at(figures.WATCHED)
    live_bytes = live * site.at(figures.WATCHED_BYTES) * 1000
    return site.need(
        processes=processes,
        cpu=gateway_cpu(site) + live_bytes / 1e9 * site.at(figures.GATEWAY_GB) + live / site.at(figures.SOUND_STREAMS),
        memory_gib=mib * MIB / GIB,
        bytes_s=2 * site.rates.bytes_s + 2 * live_bytes,
    )


def gateway_cpu(site: Site) -> float:
    """Cores busy with what agents push."""
    by_volume = site.rates.bytes_s / 1e9 * site.at(figures.GATEWAY_GB)
    return by_volume + site.rates.envelopes_s * site.at(figures.GATEWAY_PUSH) / 1000


def gateway_processes(site: Site) -> float:
    """As many as their agents and their one core each ask for."""
    by_agents = math.ceil(site.load.agents / site.at(figures.AGENTS_PER_PROCESS))
    by_core = math.ceil(gateway_cpu(site) / site.at(figures.BUSY))
    return max(site.copies, by_agents, by_core)


def need_brokers(site: Site) -> Need:
    """Kafka: every byte is written once a copy, and read by miners and by the sinks of disk and PostgreSQL."""
    load, rates = site.load, site.rates
    written = kafka_bytes_s(site) * load.replication
    kept = load.replication * rates.kafka_hours * (
        rates.bytes_hour + rates.documents_hour * site.at(figures.DOCUMENT_RECORD)
    )  # fmt: skip
    nodes = max(load.replication, math.ceil(written / MB / site.at(figures.BROKER_RATE)))
    return site.engine(
        nodes=nodes,
        cpu=written / 1e9 * site.at(figures.BROKER_GB),
        memory_gib=nodes * site.at(figures.BROKER_MEMORY),
        disk_bytes=kept,
        bytes_s=kafka_bytes_s(site) * (1 + 2 * (load.replication - 1) + 3),
    )


def kafka_bytes_s(site: Site) -> float:
    """Bytes a second that are produced: envelopes, and the documents that are mined of them."""
    return site.rates.bytes_s + site.rates.documents_s * site.at(figures.DOCUMENT_RECORD)


def partitions(site: Site) -> float:
    """Partitions of a topic: a worker has at least one, and there is room to grow; a multiple of the copies."""
    by_rate = site.rates.bytes_s / MB / site.at(figures.PARTITION_RATE)
    wanted = max(by_rate, miner_workers(site)) * site.at(figures.GROWTH)
    copies = site.load.replication
    return math.ceil(max(DEFAULT_PARTITIONS, wanted) / copies) * copies


def miner_cpu(site: Site) -> tuple[float, float]:
    """Cores busy with OCR, and with everything else that mining takes."""
    ocr = site.rates.frames_s * site.at(figures.OCR_FRAME)
    return ocr, site.rates.envelopes_s * site.at(figures.MINE_ENVELOPE) / 1000


def ocr_processes(site: Site) -> float:
    """One for each core that OCR is planned to have."""
    return max(site.copies, math.ceil(miner_cpu(site)[0] / site.at(figures.BUSY)))


def miner_workers(site: Site) -> float:
    """Worker processes, each with its OCR processes; one core is the most that the worker itself can use."""
    by_ocr = math.ceil(ocr_processes(site) / site.at(figures.OCR_PER_WORKER))
    by_core = math.ceil(miner_cpu(site)[1] / site.at(figures.BUSY))
    return max(site.copies, by_ocr, by_core)


def need_miners(site: Site) -> Need:
    """Miners: OCR above all. What is sealed end to end needs none of it here."""
    workers, readers = miner_workers(site), ocr_processes(site)
    return site.need(
        processes=workers + readers,
        cpu=sum(miner_cpu(site)),
        memory_gib=workers * site.at(figures.PROCESS_MEMORY) + readers * site.at(figures.OCR_MEMORY),
        bytes_s=kafka_bytes_s(site),
    )


def need_archive(site: Site) -> Need:
    """The disk sink and its archive, in as many copies as the other stores have."""
    rates = site.rates
    processes = site.copies * max(1, math.ceil(rates.bytes_s / MB / site.at(figures.ARCHIVE_RATE)))
    return site.need(
        processes=processes,
        cpu=site.copies * rates.bytes_s / 1e9 * site.at(figures.SINK_GB),
        memory_gib=processes * site.at(figures.PROCESS_MEMORY),
        disk_bytes=site.copies * rates.kept_hours * rates.bytes_hour,
        bytes_s=site.copies * rates.bytes_s,
    )


def postgresql_rows_s(site: Site) -> float:
    """Rows a second at the peak."""
    return site.rates.envelopes_s * site.at(figures.POSTGRESQL_ROWS_EACH)


def postgresql_bytes(site: Site) -> float:
    """Bytes of one copy after the days of retention."""
    return site.rates.kept_hours * site.rates.envelopes_hour * site.at(figures.POSTGRESQL_ENVELOPE)


def need_postgresql(site: Site) -> Need:
    """A primary and a standby, with the sink that fills them. The sink reads whole envelopes to keep their places."""
    kept = site.copies * postgresql_bytes(site)
    memory = site.copies * site.at(figures.DATABASE_BASE) + kept / GIB * site.at(figures.DATABASE_MEMORY)
    return site.engine(
        nodes=site.copies,
        sinks=site.copies,
        cpu=2 * site.copies * postgresql_rows_s(site) / site.at(figures.POSTGRESQL_ROWS),  # reached on two cores
        memory_gib=memory,
        disk_bytes=kept,
        bytes_s=site.rates.bytes_s + site.copies * site.rates.envelopes_s * site.at(figures.POSTGRESQL_ENVELOPE),
    )


def elasticsearch_bytes(site: Site) -> float:
    """Bytes of one copy after the days of retention."""
    return site.rates.kept_hours * site.rates.documents_hour * site.at(figures.DOCUMENT_BYTES)


def need_elasticsearch(site: Site) -> Need:
    """Elasticsearch, with the sink that fills it; three nodes where there are copies, so that they can vote."""
    rate = site.copies * site.rates.documents_s
    kept = site.copies * elasticsearch_bytes(site)
    memory = kept / GIB * site.at(figures.SEARCH_MEMORY)
    nodes = max(
        1 if site.copies == 1 else 3,
        math.ceil(kept / GIB / site.at(figures.SEARCH_DISK)),
        math.ceil(memory / site.at(figures.HOST_MEMORY)),
        math.ceil(rate / site.at(figures.DOCUMENT_RATE) / site.at(figures.BUSY)),
    )
    return site.engine(
        nodes=nodes,
        sinks=site.copies,
        cpu=2 * rate / site.at(figures.DOCUMENT_RATE),  # reached on two cores
        memory_gib=max(nodes * site.at(figures.SEARCH_BASE), memory),
        disk_bytes=kept,
        bytes_s=(1 + site.copies) * site.rates.documents_s * site.at(figures.DOCUMENT_RECORD),
    )


def need_masters(site: Site) -> Need:
    """Masters: names, enrolment, assignment, the console, Redis beside them. Does not grow with what agents push."""
    processes = 2 * site.copies
    memory = processes * site.at(figures.GATEWAY_BASE) * MIB / GIB + site.copies * 0.5
    return site.need(processes=processes, cpu=0.0, memory_gib=memory, bytes_s=0.0)


ROLES: dict[str, Callable[[Site], Need]] = {
    "master": need_masters,
    "app": need_gateways,
    "kafka": need_brokers,
    "miner": need_miners,
    "archive": need_archive,
    "postgresql": need_postgresql,
    "elasticsearch": need_elasticsearch,
}
"""The roles of a plan in the order that data takes."""


def topic_copies(site: Site) -> float:
    """Copies of partitions in the whole cluster."""
    single = sum(topic.partitions == 1 for topic in TOPICS.values())
    return site.load.replication * (single + (len(TOPICS) - single) * partitions(site))
