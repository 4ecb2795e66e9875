"""Requests drawn from a seed: mostly whole ones with something odd in them, some damaged, some broken off. No I/O."""

import hashlib
import hmac
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from tests.fuzz import nasty
from ws_proxy.websocket.frames import BINARY, CLOSE, PING, TEXT, frame

_PARAMETER: Final = re.compile(r"{(\w+)(?::[^}]*)?}")
_KEY: Final = b"dGhlIHNhbXBsZSBub25jZQ=="
_VISITOR: Final = "a-visitors-own-nonce"


# Addresses that take WebSockets, and what most of their requests say so that more than the head is looked at.
_LIVE: Final = ("listen", "/listen/v1", "/pcm", "/realtime")
_NEEDED: Final = {"/v2/listen": b"model=flux-general-en", "/v1/realtime": b"intent=transcription"}


class End(Enum):
    """What the client does once everything is sent."""

    WAIT = "wait"  # for the response, which has to come
    HALF_CLOSE = "half-close"  # and wait for a response, or for the connection's end
    LEAVE = "leave"  # at once


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path of a service; `fields`: of the JSON body or form that it takes; `host`: where it is."""

    method: str
    path: str
    fields: tuple[str, ...] = ()
    host: str = "x"
    # Of some fields a value that is taken, as JSON: with all of them odd, only the first is ever looked at.
    good: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """A service as strangers see it. `secrets`: credentials that are good there."""

    name: str
    port: int
    routes: tuple[Route, ...]
    secrets: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """Bytes to send, in pieces, and what to do then."""

    target: Target
    method: bytes
    pieces: tuple[bytes, ...]
    end: End
    upgrade: bool = False


class Drawing:
    """Draws requests for these targets; the same seed draws the same ones."""

    def __init__(self, seed: int, targets: Sequence[Target]) -> None:
        self._chance = random.Random(seed)
        self._targets = tuple(targets)

    def request(self) -> Request:
        """The next one."""
        chance = self._chance
        target = chance.choice(self._targets)
        route = chance.choice(target.routes)
        live = route.method == "GET" and route.path.endswith(_LIVE) and chance.random() < 0.6
        method = route.method.encode() if chance.random() < 0.85 else chance.choice(nasty.METHODS)
        version = b"1.1" if chance.random() < 0.93 else chance.choice((b"1.0", b"0.9", b"2.0", b"1.1x", b"9.9"))
        hosts = (route.host.encode(), b"x", b"api.localhost", b"[::1]:80")
        headers: list[tuple[bytes, bytes]] = [(b"Host", hosts[0] if chance.random() < 0.9 else chance.choice(hosts))]
        headers += self._credential(target)
        if live:
            headers += [
                (b"Connection", b"Upgrade"),
                (b"Upgrade", b"websocket"),
                (b"Sec-WebSocket-Version", b"13"),
                (b"Sec-WebSocket-Key", _KEY),
            ]
        whole = True
        body = b""
        if (route.method not in {"GET", "HEAD"} or chance.random() < 0.1) and not live:
            body, more, whole = self._body(route)
            headers += more
        if chance.random() < 0.4:
            headers += [
                (chance.choice(nasty.HEADERS), chance.choice(nasty.HEADER_TEXTS)) for _ in range(chance.randrange(1, 3))
            ]
            whole = False  # one of them may have changed how long the body is
        if chance.random() < 0.03:
            headers = [header for header in headers if header[0] != b"Host"]
        chance.shuffle(headers)
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        data = b"%b %b HTTP/%b\r\n%b\r\n%b" % (method, self._path(target, route), version, lines, body)
        if live:
            data += self._frames()
        if chance.random() < 0.1:
            data, whole = self._damaged(data), False
        return Request(
            target, method, self._pieces(data), self._end(whole=whole), upgrade=b"upgrade: websocket" in data.lower()
        )

    def _path(self, target: Target, route: Route) -> bytes:
        chance = self._chance

        def fill(match: re.Match[str]) -> str:
            known = chance.random() < 0.8 and target.ids
            return chance.choice(target.ids) if known else chance.choice(nasty.PARTS).decode("latin-1")

        path = _PARAMETER.sub(fill, route.path).encode("latin-1")
        needed = _NEEDED.get(route.path) if chance.random() < 0.8 else None
        if chance.random() < 0.15:
            at = chance.randrange(len(path) + 1)
            path = path[:at] + chance.choice(nasty.PARTS) + path[at:]
        if chance.random() < 0.05:
            path = b"/" + path
        if needed is not None:
            path += b"?" + needed
        if chance.random() < 0.6:
            names = [chance.choice(nasty.QUERIES) for _ in range(chance.randrange(1, 4))]
            values = nasty.QUERY_VALUES if chance.random() < 0.5 else nasty.PARTS
            path += b"&" if needed is not None else b"?"
            path += b"&".join(b"%b=%b" % (name, chance.choice(values)) for name in names)
        return path

    def _credential(self, target: Target) -> list[tuple[bytes, bytes]]:
        chance = self._chance
        found: list[tuple[bytes, bytes]] = []
        if target.sessions and (not target.secrets or chance.random() < 0.5):  # the console's credential is a cookie
            name, session = chance.choice((("visitor", _VISITOR), ("session", chance.choice(target.sessions))))
            found.append((b"Cookie", f"{name}={session}".encode()))
            nonce = "00"
            mac = hmac.new(session.encode(), f"csrf {nonce}".encode(), hashlib.sha256).hexdigest()
            if chance.random() < 0.9:
                found.append((b"X-CSRF-Token", f"{nonce}.{mac}".encode()))
        elif target.secrets and chance.random() < 0.8:
            scheme = chance.choice((b"Token", b"Bearer", b"token"))
            found.append((b"Authorization", scheme + b" " + chance.choice(target.secrets).encode()))
        return found

    def _body(self, route: Route) -> tuple[bytes, list[tuple[bytes, bytes]], bool]:
        """A body as it is sent, the headers that belong to it, and whether it is as long as they say."""
        chance = self._chance
        headers = [(b"Content-Type", chance.choice(nasty.CONTENT_TYPES))]
        if chance.random() < 0.15:
            headers.append((b"Content-Encoding", chance.choice(nasty.CODINGS)))
        if chance.random() < 0.15:
            headers.append((b"Transfer-Encoding", b"chunked"))
            return chance.choice(nasty.CHUNKED), headers, False
        body = chance.choice(nasty.BODIES)
        if route.fields and chance.random() < 0.6:
            form = not route.good
            headers[0] = (b"Content-Type", b"application/x-www-form-urlencoded" if form else b"application/json")
            body = self._form(route) if form else self._object(route)
        length = len(body)
        if chance.random() < 0.05:
            length = chance.choice((0, 1, length + 7, 1 << 40))
        headers.append((b"Content-Length", b"%d" % length))
        return body, headers, length == len(body)

    def _object(self, route: Route) -> bytes:
        chance = self._chance
        names = [name for name in route.fields if name in route.good or chance.random() < 0.5]
        odd = chance.choice((0.1, 0.3, 0.9))
        values = [
            chance.choice(nasty.VALUES) if chance.random() < odd else route.good.get(name, "null") for name in names
        ]
        return ("{" + ",".join(f'"{name}":{value}' for name, value in zip(names, values, strict=True)) + "}").encode()

    def _form(self, route: Route) -> bytes:
        chance = self._chance
        odd = chance.choice((0.1, 0.3, 0.9))
        return b"&".join(
            b"%b=%b"
            % (name.encode(), chance.choice(nasty.PARTS if chance.random() < odd else nasty.FIELD_VALUES[name]))
            for name in route.fields
        )

    def _frames(self) -> bytes:
        chance = self._chance
        texts = (
            b'{"type":"CloseStream"}',
            b'{"type":"KeepAlive"}',
            b'{"type":"Finalize"}',
            b"{",
            b'{"type":NaN}',
            b'{"type":"Configure","thresholds":{"eot_threshold":1e400},"keyterms":[[]]}',
            b'{"type":"ForceEndTurn"}',
            b'{"type":"session.update","session":{"audio":{"input":{"format":{"type":[]},"turn_detection":{"type":0}}}}}',
            b'{"type":"input_audio_buffer.append","audio":"' + b"AAAA" * 1300 + b'"}',
            b'{"type":"input_audio_buffer.append","audio":"A"}',
            b'{"type":"input_audio_buffer.commit","event_id":{}}',
            b'{"type":"input_audio_buffer.clear"}',
            b"\xff",
        )
        data = b""
        for _ in range(chance.randrange(4)):
            kind = chance.choice((TEXT, BINARY, PING, CLOSE))
            data += frame(
                kind, chance.choice(texts) if kind == TEXT else chance.randbytes(chance.randrange(120)), masked=True
            )
        return data

    def _damaged(self, data: bytes) -> bytes:
        chance = self._chance
        changed = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(changed))
            match chance.randrange(3):
                case 0:
                    changed[at] = chance.randrange(256)
                case 1:
                    del changed[at : at + chance.randrange(1, 40)]
                case _:
                    changed[at:at] = chance.randbytes(chance.randrange(1, 4))
            if not changed:
                return b"\0"
        return bytes(changed[: chance.randrange(1, len(changed) + 1)] if chance.random() < 0.3 else changed)

    def _pieces(self, data: bytes) -> tuple[bytes, ...]:
        if self._chance.random() < 0.7:
            return (data,)
        at = self._chance.randrange(len(data) + 1)
        return (data[:at], data[at:])

    def _end(self, *, whole: bool) -> End:
        if self._chance.random() < 0.08:
            return End.LEAVE
        return End.WAIT if whole else End.HALF_CLOSE
