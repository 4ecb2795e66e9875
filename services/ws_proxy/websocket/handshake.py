"""The opening handshake (RFC 6455 section 4), I/O-free: both heads as bytes, every rule with its own message."""

import base64
import binascii
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from multidict import CIMultiDict, MultiMapping
from yarl import URL

from aldea import errors
from aldea.headers import SERVER

# RFC 6455 section 1.3: what both sides append to the key.
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = "13"
# A response head longer than this is no handshake of a sane server.
MAX_HEAD_BYTES: Final = 16 * 1024
# Of a refusal's body no more is read than an error in the contract's shape needs.
MAX_REFUSAL_BYTES: Final = 16 * 1024


# What every 101 begins with.
_SWITCHING: Final = (
    f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nServer: {SERVER}\r\n"
    "Sec-WebSocket-Accept: "
)


class InvalidHandshake(Exception):
    """The server's response is not a valid handshake; the message says which rule it broke."""


class UpgradeRequired(errors.ApiError):
    """Not a WebSocket request, or one of another version (RFC 6455 section 4.4, RFC 9110 section 15.5.22)."""

    status, err_code = 426, "UPGRADE_REQUIRED"

    def headers(self) -> dict[str, str]:
        return {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": _VERSION}


def accept_key(key: str) -> str:
    """The server's Sec-WebSocket-Accept for a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def new_key() -> str:
    """A fresh Sec-WebSocket-Key: 16 random bytes in base64."""
    return base64.b64encode(os.urandom(16)).decode()


def check_request(method: str, version: tuple[int, int], headers: MultiMapping[str]) -> str:
    """Check a client's opening request; its Sec-WebSocket-Key. Raises UpgradeRequired or BadRequest."""
    wanted = headers.get("Upgrade", "").strip().lower() == "websocket"
    if wanted and (method != "GET" or version < (1, 1) or "Host" not in headers):
        # RFC 6455 section 4.1, points 2 to 4. An empty Host is taken: the public API's Go client sends one.
        raise errors.BadRequest(
            f"A WebSocket opens with GET, HTTP/1.1 and a Host; got {method[:20]}, HTTP/{version[0]}.{version[1]} and "
            f"{'a' if 'Host' in headers else 'no'} Host."
        )
    if not wanted or "upgrade" not in _tokens(headers, "Connection"):
        raise UpgradeRequired(
            "This address takes WebSocket connections; send 'Upgrade: websocket' and 'Connection: Upgrade', "
            "or POST recorded audio to /v1/listen."
        )
    for name in ("Sec-WebSocket-Version", "Sec-WebSocket-Key"):
        if len(headers.getall(name, [])) > 1:  # RFC 6455 sections 11.3.1 and 11.3.5
            raise errors.BadRequest(f"{name}: got more than one, allowed is one. Send it once.")
    spoken = headers.get("Sec-WebSocket-Version", "")
    if spoken != _VERSION:
        raise UpgradeRequired(f"Sec-WebSocket-Version: got {spoken!r:.20}, supported: {_VERSION}.")
    if headers.get("Content-Length", "0").strip() not in ("", "0") or "Transfer-Encoding" in headers:
        raise errors.BadRequest("A WebSocket upgrade carries no body. Send the audio in frames after the upgrade.")
    key = headers.get("Sec-WebSocket-Key", "").strip()
    try:
        valid = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        valid = False
    if not valid:
        raise errors.BadRequest("Sec-WebSocket-Key must be 16 bytes in base64 (RFC 6455 section 4.1).")
    return key


def upgrade_response(key: str, headers: Mapping[str, str]) -> bytes:
    """The 101 for a client. No extension is ever accepted: permessage-deflate is declined by silence."""
    more = "".join([f"\r\n{name}: {value}" for name, value in headers.items()])
    return f"{_SWITCHING}{accept_key(key)}{more}\r\n\r\n".encode("latin-1")


def upgrade_request(url: URL, key: str, headers: Mapping[str, str]) -> bytes:
    """The opening request to a server; `headers` in addition to those of the handshake."""
    host = url.raw_host or ""
    if ":" in host:
        host = f"[{host}]"
    if url.explicit_port is not None:
        host = f"{host}:{url.explicit_port}"
    lines = [
        f"GET {url.raw_path_qs} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        f"Sec-WebSocket-Version: {_VERSION}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    # What came from a client's own head leaves with the bytes it came with.
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A server's response other than 101, with as much of its body as an error needs."""

    status: int
    headers: CIMultiDict[str]
    body: bytes


class ResponseReader:
    """Reads a server's response to `upgrade_request` from however many pieces it comes in."""

    def __init__(self, key: str) -> None:
        self._expected = accept_key(key)
        self._buffer = b""
        self._status = 0
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._body_bytes: int | None = None  # of a refusal

    def feed(self, data: bytes) -> bytes | Refusal | None:
        """The bytes behind the head of a 101 (possibly none), a Refusal, or None while more is needed.

        Raises InvalidHandshake.
        """
        self._buffer += data
        if not self._status:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > MAX_HEAD_BYTES:
                    raise InvalidHandshake(f"no end of the response's head within {MAX_HEAD_BYTES} bytes")
                if not b"HTTP/1.1 ".startswith(self._buffer[:9]):
                    raise InvalidHandshake(f"no HTTP/1.1 response: {self._buffer[:40]!r}")
                return None
            head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
            self._status = self._parse_head(head)
            if self._status == 101:
                self._check()
                rest, self._buffer = self._buffer, b""
                return rest
            self._body_bytes = self._length()
        if self._body_bytes is not None and len(self._buffer) >= self._body_bytes:
            return self.refusal()
        return self.refusal() if len(self._buffer) >= MAX_REFUSAL_BYTES else None

    def refusal(self) -> Refusal | None:
        """What is known of a refusal now, for a server that closes instead of giving a length."""
        return Refusal(self._status, self._headers, self._buffer[:MAX_REFUSAL_BYTES]) if self._status else None

    def _length(self) -> int | None:
        """How much of a refusal's body to wait for; None: until the server closes."""
        if "Transfer-Encoding" in self._headers:
            return 0  # not decoded here, and no error depends on it
        length = self._headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal()):
            return None
        return MAX_REFUSAL_BYTES if len(length) > 9 else min(int(length), MAX_REFUSAL_BYTES)

    def _parse_head(self, head: bytes) -> int:
        lines = head.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ", 2)
        if len(parts) < 2 or parts[0] != "HTTP/1.1" or len(parts[1]) != 3 or not parts[1].isdecimal():
            raise InvalidHandshake(f"no HTTP/1.1 response: {lines[0]!r:.60}")
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise InvalidHandshake(f"malformed header line: {line!r:.60}")
            self._headers.add(name, value.strip())
        return int(parts[1])

    def _check(self) -> None:
        headers = self._headers
        if headers.get("Upgrade", "").lower() != "websocket" or "upgrade" not in _tokens(headers, "Connection"):
            raise InvalidHandshake("101 without 'Upgrade: websocket' and 'Connection: Upgrade'")
        if headers.get("Sec-WebSocket-Accept", "") != self._expected:
            raise InvalidHandshake("wrong Sec-WebSocket-Accept")
        if headers.get("Sec-WebSocket-Extensions"):
            raise InvalidHandshake("an extension was accepted that was not offered")
        if headers.get("Sec-WebSocket-Protocol"):
            raise InvalidHandshake("a subprotocol was chosen that was not offered")


def _tokens(headers: MultiMapping[str], name: str) -> set[str]:
    # A header may be split over several lines (RFC 9110 section 5.2), but hardly any is.
    lines = headers.getall(name, [])
    if len(lines) == 1 and "," not in lines[0]:
        return {lines[0].strip().lower()}
    return {token.strip().lower() for line in lines for token in line.split(",")}
