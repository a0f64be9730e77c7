"""The tables about accounts, and keys that people unlock."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from infra.settings.group import Count, Group, Seconds


class UnlockSettings(Group):
    """Opening what is end-to-end encrypted, by people with a passphrase."""

    attempts: Count = 5
    """Attempts that do not open, of one person on one KEK, until no more are taken."""
    window_s: Seconds = 900.0
    """Seconds for which such an attempt counts."""
    sessions: Count = 4
    """Unlocks that one gateway serves at once."""
    session_s: Seconds = 900.0
    """Seconds after which an unlock of the HTTPS port is ended, whatever it does."""
    tokens_file: Path = Path("secrets/api.tokens")
    """Who may use the API: made by `sealstream api token`."""


class AccountSettings(Group):
    """Who signs in to the console: sessions, limits, links."""

    address: str = ""
    """Address of the console as people open it, for links and OIDC; of `node.advertise` when not given."""
    idle_s: Seconds = 1800.0
    """Seconds without anything done after which a session ends."""
    session_s: Seconds = 43200.0
    """Seconds after which a session ends, whatever was done."""
    fresh_s: Seconds = 900.0
    """Seconds after showing a password for which accounts can be changed."""
    attempts: Count = 10
    """Failed sign-ins of one name until no more are taken."""
    address_attempts: Count = 50
    """Failed sign-ins from one address until no more are taken."""
    window_s: Seconds = 900.0
    """Seconds for which a failed sign-in counts."""
    first_link_s: Seconds = 86400.0
    """Seconds for which the first administrator's link works."""
    link_s: Seconds = 259200.0
    """Seconds for which a link to set a password works."""
    key_file: Path = Path("secrets/accounts.key")
    """Key of TOTP secrets and sign-in challenges; made when it is missing, and the same on every gateway."""


class OidcSettings(Group):
    """Signing in by an organisation's own provider (OpenID Connect)."""

    issuer: str = ""
    """Issuer of the provider, such as `https://login.example.org/realms/staff`; empty for none."""
    client_id: str = ""
    """Name under which the provider knows this console."""
    client_secret_file: Path | None = None
    """File with the client's secret; none for a public client, which PKCE protects."""
    scopes: str = "openid profile email"
    """What is asked for."""
    name_claim: str = "preferred_username"
    """Claim that becomes an account's name when it is made or found the first time."""
    role_claim: str = ""
    """Claim with the person's groups or roles; empty: roles are given in the console."""
    roles: dict[str, Literal["administrator", "operator", "officer", "auditor", "subject"]] = {}
    """Value of that claim to a role (administrator, operator, officer, auditor, subject); the first that fits."""
    auto_create: bool = False
    """Make an account for who signs in the first time and has a role by the claim; else the name must be there."""
    title: str = "your organisation"
    """Words on the button of the sign-in page: Sign in with "your organisation"."""
    ca_file: Path | None = None
    """CA of the provider's certificate, where the system's are not it."""
