"""The gateway's own stage: real TLS, the publisher in memory."""

from tests.gateway.conftest import identity, pki, pytest_asyncio_loop_factories, stage

__all__ = ["identity", "pki", "pytest_asyncio_loop_factories", "stage"]
