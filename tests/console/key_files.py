"""Key files for the tests of unlocking in the browser: every form that it reads, and those that it refuses.

Made by OpenSSL in a temporary directory at each run; no private key is ever committed.
"""

from __future__ import annotations

import base64
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from schemas.keys import Identity

PASSPHRASE = "correct hørse battery stäple"

PKCS8_COMMAND = "openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 600000 -in OLD.pem -out NEW.pem"
LEGACY_COMMAND = PKCS8_COMMAND.replace("-topk8", "-topk8 -provider default -provider legacy")
DER_COMMAND = "openssl pkcs8 -topk8 -v2 aes-256-cbc -iter 600000 -inform DER -in OLD.der -out NEW.pem"
SSH_COMMAND = "ssh-keygen -p -m PKCS8 -f KEY"

_PKCS8 = "pkcs8 -topk8 -in plain.pem -passout file:passphrase"
_READ = {
    "PBKDF2 SHA-256, AES-256, 600,000 rounds": f"{_PKCS8} -v2 aes-256-cbc -v2prf hmacWithSHA256 -iter 600000",
    "PBKDF2 SHA-512, AES-128": f"{_PKCS8} -v2 aes-128-cbc -v2prf hmacWithSHA512 -iter 100000",
    "PBKDF2 SHA-384, AES-256": f"{_PKCS8} -v2 aes-256-cbc -v2prf hmacWithSHA384 -iter 100000",
    "scrypt": f"{_PKCS8} -scrypt",
}
_FEW_ROUNDS = {
    "PBKDF2 SHA-1, as older OpenSSL wrote it": (f"{_PKCS8} -v2 aes-256-cbc -v2prf hmacWithSHA1 -iter 2048", 2048),
    "one round": (f"{_PKCS8} -v2 aes-256-cbc -iter 1", 1),
}
_RSA = "rsa -in plain.pem -traditional -passout file:passphrase"
_TRADITIONAL = {"traditional, AES-256": f"{_RSA} -aes256", "traditional, AES-128": f"{_RSA} -aes128"}
_CONVERTED = {
    "3DES in PKCS#8": f"{_PKCS8} -v2 des3",
    "3DES in the traditional format": f"{_RSA} -des3",
    "AES-192 in PKCS#8": f"{_PKCS8} -v2 aes-192-cbc",
    "AES-192 in the traditional format": f"{_RSA} -aes192",
    "PBKDF2 with SHA-224": f"{_PKCS8} -v2 aes-256-cbc -v2prf hmacWithSHA224",
    "PKCS#12 cipher, 3DES": f"{_PKCS8} -v1 PBE-SHA1-3DES",
    "PKCS#5 v1.5, DES": f"{_PKCS8} -v1 PBE-MD5-DES -provider default -provider legacy",
}
_ROUNDS = ("0203010000", "02037fffff")
"""65,536 rounds, and 8,388,607."""


@dataclass
class KeyFiles:
    """Makes key files in `folder`; `cases` grows with each."""

    folder: Path
    identity: Identity = field(default_factory=lambda: Identity.generate(2048))
    cases: list[dict[str, Any]] = field(default_factory=list)

    def make_all(self) -> list[dict[str, Any]]:
        """Every case: a PEM, its passphrase, and what comes of it."""
        (self.folder / "passphrase").write_text(f"{PASSPHRASE}\n{PASSPHRASE}\n", "utf-8")
        plain = self._private_pem(serialization.PrivateFormat.PKCS8)
        (self.folder / "plain.pem").write_text(plain)
        self._make_readable(plain)
        self._make_convertible()
        self._make_refused(plain)
        self._make_excessive()
        return self.cases

    def _make_readable(self, plain: str) -> None:
        for name, command in _READ.items():
            self._reads(name, self._openssl(command))
        for name, (command, rounds) in _FEW_ROUNDS.items():
            self._reads(name, self._openssl(command), f"only {rounds} rounds of PBKDF2 protect this key")
        for name, command in _TRADITIONAL.items():
            warning = "the traditional PEM format protects a key with one round of MD5 only"
            self._reads(name, self._openssl(command), warning)
        written = self.identity.to_pem(PASSPHRASE.encode()).decode()
        self._reads("as the product's own Python writes it", written, *self._few_rounds_of(written))
        pkcs1 = self._private_pem(serialization.PrivateFormat.TraditionalOpenSSL)
        for name, pem in {"PKCS#8 without a passphrase": plain, "PKCS#1 without a passphrase": pkcs1}.items():
            self._reads(name, pem, "no passphrase protects this key", passphrase="")
        first = self._openssl(_READ["PBKDF2 SHA-512, AES-128"])
        self._reads("with words around it, and lines that end as on Windows", f"Bag\n {first}".replace("\n", "\r\n"))
        self._reads("after a public key", self.identity.recipient.to_pem().decode() + first)

    def _make_convertible(self) -> None:
        """What is refused names a command; what that command makes is read."""
        for name, made_by in _CONVERTED.items():
            pem = self._openssl(made_by)
            command = LEGACY_COMMAND if "-v1" in made_by else PKCS8_COMMAND
            self._refuses(name, pem, "unsupported", command)
            (self.folder / "OLD.pem").write_text(pem)
            self._run(f"{command} -passin file:passphrase -passout file:passphrase")
            self._reads(f"{name}, converted", (self.folder / "NEW.pem").read_text())

    def _make_refused(self, plain: str) -> None:
        protected = self._openssl(_READ["PBKDF2 SHA-512, AES-128"])
        self._refuses("a passphrase for a key that has none", plain, "not_protected")
        self._refuses("no passphrase", protected, "passphrase_needed", passphrase="")
        self._refuses("another passphrase", protected, "wrong_passphrase", passphrase="correct horse")
        self._refuses("the public half", self.identity.recipient.to_pem().decode(), "not_a_key")
        self._refuses("nothing", "", "not_a_key")
        self._refuses("no PEM", "hello\n", "not_a_key")
        self._refuses("a cut file", protected[:600], "not_a_key")
        self._refuses("a file that is too large", protected + " " * 65536, "not_a_key")
        self._refuses("base64 that is none", protected.replace("\nMII", "\n!II"), "not_a_key")
        middle = protected.splitlines()
        self._refuses("a line is missing", "\n".join(middle[:4] + middle[5:]), "not_a_key")
        curve = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
        self._refuses("an elliptic curve key", self._openssl(curve), "not_rsa", passphrase="")
        self._refuses("an Ed25519 key", self._openssl("genpkey -algorithm ed25519"), "not_rsa", passphrase="")
        locked = self._openssl("genpkey -algorithm ed25519 -aes-256-cbc -pass file:passphrase")
        self._refuses("an Ed25519 key with a passphrase", locked, "not_rsa")
        (self.folder / "ec.pem").write_text(self._openssl(curve))
        self._refuses("EC PRIVATE KEY", self._openssl("ec -in ec.pem"), "not_rsa", passphrase="")
        short = self._openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024")
        self._refuses("1024 bits", short, "key_size", passphrase="")
        ssh = self._private_pem(serialization.PrivateFormat.OpenSSH)
        self._refuses("an OpenSSH key", ssh, "unsupported", SSH_COMMAND, passphrase="")
        der = base64.b64decode("".join(plain.splitlines()[1:-1])).decode("latin-1")
        self._refuses("DER", der, "unsupported", DER_COMMAND, passphrase="")

    def _make_excessive(self) -> None:
        """Work factors that no key file has: refused before anything is derived."""
        rounds = self._openssl(f"{_PKCS8} -v2 aes-256-cbc -iter 65536")
        self._refuses("8 million rounds", _patch(rounds, *_ROUNDS), "work_factor", PKCS8_COMMAND)
        self._refuses("no round", _patch(rounds, "0203010000", "0203000000"), "not_a_key")
        self._refuses("negative rounds", _patch(rounds, "0203010000", "0203810000"), "not_a_key")
        scrypt = self._openssl(_READ["scrypt"])
        for name, old, new in (
            ("scrypt: too much memory", "02024000020108020101", "02024000020178020102"),
            ("scrypt: too parallel", "02024000020108020101", "0202400002010802017f"),
            ("scrypt: N is no power of two", "0202400002", "0202400102"),
            ("scrypt: no block", "020240000201080201", "020240000201000201"),
        ):
            self._refuses(name, _patch(scrypt, old, new), "work_factor", PKCS8_COMMAND)

    def _reads(self, name: str, pem: str, *warnings: str, passphrase: str = PASSPHRASE) -> None:
        key_id = self.identity.key_id.hex()
        case = {"name": name, "pem": pem, "passphrase": passphrase, "keyId": key_id, "warnings": list(warnings)}
        self.cases.append(case)

    def _refuses(self, name: str, pem: str, reason: str, command: str = "", passphrase: str = PASSPHRASE) -> None:
        case = {"name": name, "pem": pem, "passphrase": passphrase, "reason": reason, "command": command}
        self.cases.append(case)

    def _few_rounds_of(self, pem: str) -> list[str]:
        """The library writes 2,048 rounds today; it may write more one day."""
        der = base64.b64decode("".join(pem.splitlines()[1:-1])).hex()
        return ["only 2048 rounds of PBKDF2 protect this key"] if "02020800" in der else []

    def _private_pem(self, form: serialization.PrivateFormat) -> str:
        key = self.identity.private_key
        return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()

    def _openssl(self, command: str) -> str:
        return self._run(f"openssl {command}")

    def _run(self, command: str) -> str:
        done = subprocess.run(shlex.split(command), cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout


def _patch(pem: str, old: str, new: str) -> str:
    """The PEM with one piece of its DER, in hexadecimal, replaced by as many bytes."""
    first, *lines, last = pem.strip().splitlines()
    der = base64.b64decode("".join(lines)).hex()
    assert der.count(old) == 1
    assert len(old) == len(new)
    body = base64.b64encode(bytes.fromhex(der.replace(old, new))).decode()
    return "\n".join([first, *(body[at : at + 64] for at in range(0, len(body), 64)), last, ""])


def make_other_key() -> tuple[Identity, dict[str, Any]]:
    """Another KEK, whose file has a passphrase of its own."""
    identity, passphrase = Identity.generate(2048), "another staple"
    pem = identity.to_pem(passphrase.encode()).decode()
    return identity, {"pem": pem, "passphrase": passphrase, "keyId": identity.key_id.hex()}
