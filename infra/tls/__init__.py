"""TLS of all our listeners and clients: profiles, and the proof that a listener offers what its profile says.

Light to import, since agents use it.
"""

from infra.tls.profile import SUITES, Listener, Profile, client_context, server_context

__all__ = ["SUITES", "Listener", "Profile", "client_context", "server_context"]
