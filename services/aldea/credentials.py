"""Credentials: minting, the checksum inside, hashing, and the places where a request may carry one.

A key's text exists twice: once in the response that hands it out, and in the customer's requests. Everything else knows
its SHA-256 only. The text has 190 random bits, so a plain hash is enough: there is nothing to guess.
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from aldea.errors import InvalidAuth

API_KEY_PREFIX: Final = "org_"
TOKEN_PREFIX: Final = "ats_"  # noqa: S105 - a prefix, no secret
SESSION_PREFIX: Final = "sess_"
_PREFIXES: Final = (API_KEY_PREFIX, TOKEN_PREFIX, SESSION_PREFIX)

_BASE62: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_CHARACTERS: Final = 32
# 62^6 > 2^32: room for a CRC-32.
CHECKSUM_CHARACTERS: Final = 6
# How much of a key's end is stored and shown in lists, so that people can distinguish their keys.
SHOWN_CHARACTERS: Final = 4

# What counts as a credential's text: visible ASCII without the comma that separates subprotocols (RFC 9110 section
# 11.2 allows less; adopted keys of other makes may hold more than ours), of a length that no honest client exceeds.
_TEXT: Final = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,1024}")
_SCHEMES: Final = frozenset({"token", "bearer"})
# OpenAI's subprotocols of browsers: the word that is accepted, and what is before a key.
OPENAI_SUBPROTOCOL: Final = "realtime"
_OPENAI_KEY: Final = "openai-insecure-api-key."


@dataclass(unsafe_hash=True, slots=True)  # frozen ones take several times as long to make
class Credential:
    """What a request carried: the hex SHA-256 of the credential's text; the text itself goes no further.

    `subprotocol`: the first word of `Sec-WebSocket-Protocol`, as the client spelled it, when the credential came that
    way; the response echoes it (RFC 6455 section 4.2.2: exactly one of the words that the client offered). Else None.
    """

    sha256: str
    subprotocol: str | None = None


@dataclass(frozen=True, slots=True)
class MintedKey:
    """A new credential. `text` is shown once and never stored; `last4` is for lists."""

    text: str
    sha256: str
    last4: str

    def __repr__(self) -> str:
        return f"MintedKey(…{self.last4})"


def mint_api_key() -> MintedKey:
    """A new API key, `org_…`."""
    return _mint(API_KEY_PREFIX)


def mint_token() -> MintedKey:
    """A new short-lived token, `ats_…`."""
    return _mint(TOKEN_PREFIX)


def mint_session() -> MintedKey:
    """A new session of a signed-in user, `sess_…`."""
    return _mint(SESSION_PREFIX)


def checksum_ok(text: str) -> bool:
    """Whether `text` is, letter for letter, something that we minted: distinguishes a typo from a revocation, offline.

    False refuses nothing: keys adopted from elsewhere begin with `org_` too and carry no checksum.
    """
    prefix = next((prefix for prefix in _PREFIXES if text.startswith(prefix)), None)
    if prefix is None or len(text) != len(prefix) + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS or not text.isascii():
        return False
    return text[-CHECKSUM_CHARACTERS:] == _checksum(text[:-CHECKSUM_CHARACTERS])


def sha256_hex(text: str) -> str:
    """What represents a credential everywhere but at its owner."""
    return hashlib.sha256(text.encode()).hexdigest()


def from_request(request: web.BaseRequest) -> Credential:
    """The credential that `request` carries, hashed. Raises InvalidAuth if there is none or it is malformed.

    `Authorization: Token|Bearer <credential>` (the scheme in any case, RFC 9110 section 11.1) comes before
    `Sec-WebSocket-Protocol: token|bearer, <credential>`, which is what a browser can send.
    """
    given = request.headers.getall("Authorization", [])
    if len(given) > 1:
        raise InvalidAuth
    if given:
        scheme, _, text = given[0].strip().partition(" ")
        return Credential(_hashed(scheme, text.strip()))
    words = subprotocols(request)
    if len(words) < 2:
        raise InvalidAuth
    return Credential(_hashed(words[0], words[1]), subprotocol=words[0])


def text_from_request(request: web.BaseRequest) -> str:
    """The text of the credential that `from_request` has read: to encrypt for whoever sends it again, never to keep."""
    given = request.headers.getall("Authorization", [])
    return given[0].strip().partition(" ")[2].strip() if given else subprotocols(request)[1]


def from_realtime_request(request: web.BaseRequest) -> Credential:
    """The credential of a request on OpenAI's realtime wire, hashed. Raises InvalidAuth as `from_request` does.

    A browser sends `Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.<credential>`, in any order and among
    others; only `realtime` may be accepted, and is if it was offered.
    """
    if request.headers.getall("Authorization", []):
        found = from_request(request)
        return Credential(found.sha256, OPENAI_SUBPROTOCOL if OPENAI_SUBPROTOCOL in subprotocols(request) else None)
    words = subprotocols(request)
    keys = [word.removeprefix(_OPENAI_KEY) for word in words if word.startswith(_OPENAI_KEY)]
    if len(keys) != 1:
        raise InvalidAuth
    return Credential(_hashed("bearer", keys[0]), OPENAI_SUBPROTOCOL if OPENAI_SUBPROTOCOL in words else None)


def subprotocols(request: web.BaseRequest) -> list[str]:
    """The words of `Sec-WebSocket-Protocol`, which may be spread over several header lines (RFC 6455 section 4.1)."""
    return [word.strip() for word in ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")]


def _hashed(scheme: str, text: str) -> str:
    if scheme.lower() not in _SCHEMES or not _TEXT.fullmatch(text):
        raise InvalidAuth
    return sha256_hex(text)


def _mint(prefix: str) -> MintedKey:
    body = prefix + "".join(secrets.choice(_BASE62) for _ in range(RANDOM_CHARACTERS))
    text = body + _checksum(body)
    return MintedKey(text=text, sha256=sha256_hex(text), last4=text[-SHOWN_CHARACTERS:])


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_CHARACTERS):
        rest, digit = divmod(rest, 62)
        digits = _BASE62[digit] + digits
    return digits
