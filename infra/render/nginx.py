"""nginx before Elasticsearch: TLS on port 9200, for approved addresses alone (R2.9, R5.1).

Never answers another address, not even with an error; never speaks to an Elasticsearch that our CA did not certify.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.cluster import own_elasticsearch
from infra.render.header import comment
from infra.tls.profile import SUITES, Profile

if TYPE_CHECKING:
    from infra.approved import Approval
    from infra.settings import Settings

UPSTREAM = "https://127.0.0.1:9201"
"""Where Elasticsearch itself listens: on this machine alone, and not on the port that nginx has."""

_SERVER = """\
geo $sealstream_approved {{
    default 0;
{approved}
}}

server {{
    listen {listen} ssl;
    ssl_certificate {pki}/elasticsearch.pem;
    ssl_certificate_key {pki}/elasticsearch.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_ciphers {ciphers};
    ssl_ecdh_curve X25519:prime256v1:secp384r1;
    ssl_session_tickets off;
    server_tokens off;
    client_max_body_size 100m;

    if ($sealstream_approved = 0) {{
        return 444;  # the connection is closed without an answer
    }}

    location / {{
        proxy_pass {upstream};
        proxy_ssl_trusted_certificate {pki}/ca.pem;
        proxy_ssl_verify on;
        proxy_ssl_name localhost;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Connection "";
        proxy_request_buffering off;
        proxy_buffering off;
        proxy_read_timeout 300s;
    }}
}}
"""


def render(settings: Settings, approval: Approval, *, upstream: str = UPSTREAM, listen: str = "") -> str:
    """A file for nginx's folder `conf.d`, within its `http`."""
    server = _SERVER.format(
        approved="\n".join(f"    {network} 1;" for network in approval.networks),
        listen=listen or str(own_elasticsearch(settings)),
        pki=settings.data.pki,
        ciphers=":".join(SUITES[Profile.MODERN, "https"]),
        upstream=upstream,
    )
    return comment("nginx before Elasticsearch", "take it up with `nginx -s reload`") + server
