"""KEKs whose private half lives in a PKCS#11 token (R6.4): the token unwraps, the key never leaves it.

Loads no library that the settings do not name (a URI stands in a table, and who can write a row must not choose what
code runs here), and takes no PIN from a URI.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from weakref import WeakValueDictionary

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from infra.keys.files import check_name, place_public
from infra.keys.registry import PKCS11_SCHEME
from schemas.errors import ConfigError, KekMissingError, OpenError, UnavailableError, WrongPassphraseError
from schemas.keys import DEK_BYTES, Recipient

_HASH_BYTES = 32
_PROOF_ROUNDS = 100_000


@dataclass(frozen=True, slots=True)
class TokenUri:
    """What we use of a PKCS#11 URI (RFC 7512)."""

    token: str
    label: str
    id: bytes
    module: str

    @classmethod
    def parse(cls, uri: str) -> TokenUri:
        """Read a URI; raises `ConfigError`."""
        path, _, query = uri.removeprefix(PKCS11_SCHEME).partition("?")
        where, how = _attributes(path, ";"), _attributes(query, "&")
        if {"pin-value", "pin-source"} & how.keys():
            raise ConfigError("a PKCS#11 URI with a PIN in it is refused: it would stand in a table")
        found = cls(
            unquote(where.get("token", "")),
            unquote(where.get("object", "")),
            bytes(unquote(where.get("id", ""), "latin-1"), "latin-1"),
            unquote(how.get("module-path", "")),
        )
        if not uri.startswith(PKCS11_SCHEME) or not found.token or not (found.label or found.id):
            raise ConfigError(f"{uri!r} names no key: write it like pkcs11:token=officers;object=kek")
        return found


class Login:
    """A session with a token, shared by all keys of it in this process, and over when the last of them is gone.

    A token asks for its PIN once a process; whether a second one gives the right PIN is for us to see.
    """

    def __init__(self, session: Any, pin: bytes) -> None:
        self.session = session
        self.lock = threading.Lock()
        self._salt = os.urandom(_HASH_BYTES)
        self._proof = self._prove(pin)

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the token may be gone, and the interpreter may be ending
            self.session.close()

    def check(self, pin: bytes, token: str) -> None:
        """Raises `WrongPassphraseError` unless it is the PIN of this login."""
        if not hmac.compare_digest(self._proof, self._prove(pin)):
            raise WrongPassphraseError(f"the PIN is not that of the token {token!r}")

    def _prove(self, pin: bytes) -> bytes:
        return hashlib.pbkdf2_hmac("sha256", pin, self._salt, _PROOF_ROUNDS)


_LOGINS: WeakValueDictionary[tuple[str, str], Login] = WeakValueDictionary()
_LOGGING_IN = threading.Lock()


class TokenKey:
    """A KEK in a token, as an `Unwrapper`. The session lasts as long as this does."""

    def __init__(self, key: Any, login: Login, recipient: Recipient) -> None:
        self._key = key
        self._login = login
        self._recipient = recipient
        self._oaep = True

    @property
    def key_id(self) -> bytes:
        """SHA-256 of the KEK's SubjectPublicKeyInfo, 32 bytes."""
        return self._recipient.key_id

    def unwrap(self, wrapped: bytes) -> bytes:
        """The DEK in `wrapped`; raises `OpenError`, or `UnavailableError` when the token is gone."""
        from pkcs11 import exceptions

        refused = (exceptions.EncryptedDataInvalid, exceptions.EncryptedDataLenRange, exceptions.DataInvalid)
        with self._login.lock:
            try:
                dek = self._decrypt(wrapped)
            except refused:
                raise OpenError from None
            except exceptions.PKCS11Error as error:
                raise UnavailableError(f"the token does not unwrap: {type(error).__name__}") from error
        if len(dek) != DEK_BYTES:
            raise OpenError
        return dek

    def _decrypt(self, wrapped: bytes) -> bytes:
        """By the token's OAEP with SHA-256; of tokens that lack it (SoftHSM), RSA alone, and OAEP here."""
        from pkcs11 import MGF, Mechanism, exceptions

        if self._oaep:
            try:
                parameters = (Mechanism.SHA256, MGF.SHA256, None)
                return bytes(self._key.decrypt(wrapped, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=parameters))
            except (exceptions.MechanismParamInvalid, exceptions.MechanismInvalid, exceptions.ArgumentsBad):
                self._oaep = False
        return decode_oaep(bytes(self._key.decrypt(wrapped, mechanism=Mechanism.RSA_X_509)), len(wrapped))


def open_token_key(uri: str, pin: bytes | bytearray | None, recipient: Recipient, modules: Sequence[Path]) -> TokenKey:
    """The key of that URI; raises `WrongPassphraseError`, `KekMissingError`, `UnavailableError` or `ConfigError`."""
    if not pin:
        raise WrongPassphraseError("the token needs its PIN")
    key, login = _find(TokenUri.parse(uri), bytes(pin), modules, "PRIVATE_KEY")
    return TokenKey(key, login, recipient)


def export_public(uri: str, pin: bytes, folder: Path, name: str, modules: Sequence[Path]) -> Path:
    """Write the public half of a token's key as NAME.pub.pem; raises as `open_token_key`."""
    path, _ = check_name((folder, folder), name)
    key, login = _find(TokenUri.parse(uri), pin, modules, "PUBLIC_KEY")
    from pkcs11 import Attribute

    with login.lock:
        modulus, exponent = key[Attribute.MODULUS], key[Attribute.PUBLIC_EXPONENT]
    numbers = RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
    place_public(path, Recipient(numbers.public_key()).to_pem())
    return path


def decode_oaep(encoded: bytes, size: int) -> bytes:
    """The message in an OAEP block of `size` bytes (RFC 8017, 7.1.2): SHA-256, MGF1-SHA-256, no label.

    Raises `OpenError`, one for all ways of being wrong, after the same work.
    """
    block = encoded.rjust(size, b"\0")
    if len(block) != size or size < 2 * _HASH_BYTES + 2:
        raise OpenError
    masked_seed, masked_data = block[1 : 1 + _HASH_BYTES], block[1 + _HASH_BYTES :]
    seed = _xor(masked_seed, _mgf1(masked_data, _HASH_BYTES))
    data = _xor(masked_data, _mgf1(seed, len(masked_data)))
    hash_fits = hmac.compare_digest(data[:_HASH_BYTES], hashlib.sha256(b"").digest())
    rest = data[_HASH_BYTES:]
    at = rest.find(b"\1")
    zeros = hmac.compare_digest(rest[: max(at, 0)], bytes(max(at, 0)))
    first = hmac.compare_digest(block[:1], b"\0")
    if not (hash_fits & zeros & first & (at >= 0)):
        raise OpenError
    return rest[at + 1 :]


def _find(uri: TokenUri, pin: bytes, modules: Sequence[Path], kind: str) -> tuple[Any, Login]:
    """The one RSA key of that URI, and the login that it needs."""
    module = str(_module(uri, modules))
    from pkcs11 import Attribute, KeyType, ObjectClass, exceptions

    try:
        login = _log_in(module, uri.token, pin)
        wanted: dict[Any, Any] = {Attribute.CLASS: ObjectClass[kind], Attribute.KEY_TYPE: KeyType.RSA}
        wanted |= {Attribute.LABEL: uri.label} if uri.label else {}
        wanted |= {Attribute.ID: uri.id} if uri.id else {}
        with login.lock:
            found = list(login.session.get_objects(wanted))
    except (exceptions.PinIncorrect, exceptions.PinLenRange, exceptions.PinInvalid, UnicodeDecodeError):
        raise WrongPassphraseError(f"the PIN is not that of the token {uri.token!r}") from None
    except exceptions.PinLocked:
        raise WrongPassphraseError(f"the token {uri.token!r} is locked after too many wrong PINs") from None
    except (exceptions.NoSuchToken, exceptions.TokenNotPresent, exceptions.TokenNotRecognised):
        raise KekMissingError(f"no token {uri.token!r} is connected to this node") from None
    except (exceptions.PKCS11Error, RuntimeError) as error:
        raise UnavailableError(f"the token {uri.token!r} does not answer: {type(error).__name__}") from error
    if len(found) != 1:
        raise KekMissingError(f"the token {uri.token!r} has {len(found)} RSA keys named {uri.label or uri.id.hex()!r}")
    return found[0], login


def _log_in(module: str, token: str, pin: bytes) -> Login:
    import pkcs11

    with _LOGGING_IN:
        login = _LOGINS.get((module, token))
        if login is not None:
            login.check(pin, token)
            return login
        session = pkcs11.lib(module).get_token(token_label=token).open(user_pin=pin.decode())
        login = _LOGINS[module, token] = Login(session, pin)
        return login


def _module(uri: TokenUri, modules: Sequence[Path]) -> Path:
    try:
        import pkcs11  # noqa: F401
    except ImportError:
        raise UnavailableError("tokens need the extra: `pip install 'sealstream[pkcs11]'`") from None
    if not modules:
        raise ConfigError("no PKCS#11 library may be loaded: name it in `keys.pkcs11_modules` of the settings")
    if not uri.module:
        return modules[0]
    if Path(uri.module) not in modules:
        raise ConfigError(f"{uri.module} is not among `keys.pkcs11_modules` of the settings, and is not loaded")
    return Path(uri.module)


def _attributes(text: str, separator: str) -> Mapping[str, str]:
    pairs = [part.partition("=") for part in text.split(separator) if part]
    return {name: value for name, _, value in pairs}


def _mgf1(seed: bytes, length: int) -> bytes:
    blocks = range(-(-length // _HASH_BYTES))
    return b"".join(hashlib.sha256(seed + number.to_bytes(4, "big")).digest() for number in blocks)[:length]


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")
