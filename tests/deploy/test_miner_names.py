"""Whether gRPC takes the certificate of the site for the names by which mining nodes are reached in containers."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from infra.settings import MinerSettings, Settings
from streams.miner.tls import ServerTls, client_credentials


def of_node(site: Path, name: str) -> Settings:
    """A node that shows this certificate of the site."""
    pki = site / "pki"
    own = {"cert_file": pki / f"{name}.pem", "key_file": pki / f"{name}.key", "ca_file": pki / "ca.pem"}
    return Settings(miner=MinerSettings(**own))


@pytest.mark.parametrize(
    ("name", "taken"), [("miner", True), ("worker-0.worker.sealstream.svc", True), ("gateway", False)]
)
async def test_a_miner_is_known_by_its_names(site: Path, name: str, *, taken: bool) -> None:
    """Compose's one and every pod's, over mutual TLS with the gateway's certificate; no other name."""
    server = grpc.aio.server()
    servicer = health.aio.HealthServicer()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_secure_port("127.0.0.1:0", ServerTls(of_node(site, "miner")).credentials())
    await server.start()
    reached = (("grpc.ssl_target_name_override", name),)
    try:
        async with grpc.aio.secure_channel(
            f"127.0.0.1:{port}", client_credentials(of_node(site, "gateway")), options=reached
        ) as channel:
            asked = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30)
            if taken:
                assert (await asked).status == health_pb2.HealthCheckResponse.SERVING
            else:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await asked
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await server.stop(0)
