"""How a response is kept until it is repeated: encrypted under what only the client that may have it again can send.

A response may hold a secret (an API key's text is in one response and nowhere else). So the platform stores neither a
response's text nor a key that opens it: the key is made from the request, of which only hashes are stored: credential,
`Idempotency-Key`, method, address and body. Whoever reads the table needs all of these to read a response.

There is no cipher in Python's library, and this needs no more than a one-time pad of a pseudorandom function with a
MAC over it (encrypt-then-MAC): SHAKE-256 of a key that a random salt makes unique, and HMAC-SHA256. Pure.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

SALT_BYTES: Final = 16
TAG_BYTES: Final = 32
# A sign-in has no credential, whose 190 random bits would protect it: its key may be guessable, and its body holds a
# password. Some 16 MiB and 40 ms make every guess as dear as that (RFC 7914).
SCRYPT: Final = {"n": 1 << 14, "r": 8, "p": 1, "dklen": 32}


class Unopenable(Exception):
    """The text was not sealed under this key, or was changed since."""


@dataclass(frozen=True, slots=True)
class Sealer:
    """What one request derives: `name`, under which it is stored; `fingerprint`, which another request has not."""

    name: bytes
    fingerprint: bytes
    root: bytes

    def __repr__(self) -> str:
        return f"Sealer({self.name.hex()[:8]}…)"

    def seal(self, text: bytes) -> bytes:
        """`text` encrypted: salt, ciphertext, tag."""
        salt = secrets.token_bytes(SALT_BYTES)
        hidden = _xor(text, self._derived(b"encrypt", salt))
        return salt + hidden + self._tag(salt, hidden)

    def open(self, sealed: bytes) -> bytes:
        """What was sealed. Raises Unopenable."""
        salt, hidden, tag = sealed[:SALT_BYTES], sealed[SALT_BYTES:-TAG_BYTES], sealed[-TAG_BYTES:]
        if len(sealed) < SALT_BYTES + TAG_BYTES or not hmac.compare_digest(tag, self._tag(salt, hidden)):
            raise Unopenable
        return _xor(hidden, self._derived(b"encrypt", salt))

    def _tag(self, salt: bytes, hidden: bytes) -> bytes:
        return hmac.digest(self._derived(b"authenticate", salt), hidden, "sha256")

    def _derived(self, use: bytes, salt: bytes) -> bytes:
        return hmac.digest(self.root, _joined(use, salt), "sha256")


def sealer(*, credential: str | None, key: str, method: str, path: str, body: bytes) -> Sealer:
    """What this request derives. `credential`: its text; None: the address is one that takes none. Blocks for that.

    A key counts for the credential that it came with: two customers may choose the same one.
    """
    name = hashlib.sha256(_joined(b"name", (credential or "").encode(), key.encode())).digest()
    secret = _joined((credential or "").encode(), key.encode(), method.encode(), path.encode(), body)
    root = (
        hmac.digest(b"aldea idempotency", secret, "sha256")
        if credential is not None
        else hashlib.scrypt(hashlib.sha256(secret).digest(), salt=name, **SCRYPT)
    )
    return Sealer(name, hmac.digest(root, b"fingerprint", "sha256"), root)


def _joined(*parts: bytes) -> bytes:
    """The parts with their lengths, so that no two lists of parts are joined to the same text."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def _xor(text: bytes, key: bytes) -> bytes:
    stream = hashlib.shake_256(key).digest(len(text))
    return (int.from_bytes(text, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(text), "big")
