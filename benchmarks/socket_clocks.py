"""Both ends of live streams on blocking sockets, a thread each, which note the time beside the system call itself.

A client of an event loop notes its times once the loop comes to it; what it waits there for is not the platform's.
Times are of CLOCK_MONOTONIC, which all processes of a machine share.
"""

import json
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Final, Self
from uuid import uuid4

from ws_proxy.websocket.frames import BINARY, CLOSE, TEXT, CloseCode, close_frame, frame, frame_head
from ws_proxy.websocket.handshake import accept_key

# Against a hang alone.
PATIENCE_SECONDS: Final = 90.0
_AUDIO: Final = b"\1\0" * 1600
_WORDS: Final = json.dumps(
    {
        "type": "Results", "channel_index": [0, 1], "start": 0.0, "duration": 0.1, "is_final": True,
        "channel": {"alternatives": [{"transcript": "words", "confidence": 1.0, "words": []}]},
    }
).encode()  # fmt: skip
_CLOSE: Final = close_frame(CloseCode.NORMAL, masked=False)
_END_OF_HEAD: Final = b"\r\n\r\n"


@dataclass(slots=True)
class Served:
    """One stream at the server. `heard_at`: its first audio was read; `said_at`: its words are about to be written.

    `say`: set it, and the words are written.
    """

    heard: threading.Event = field(default_factory=threading.Event)
    say: threading.Event = field(default_factory=threading.Event)
    heard_at: float = 0.0
    said_at: float = 0.0

    @property
    def seconds(self) -> float:
        """From its first audio to its first words."""
        return self.said_at - self.heard_at


@dataclass(slots=True)
class Seen:
    """One stream at its client. `sent_at`: its first audio is about to be written; `got_at`: its words were read."""

    request_id: str
    sent_at: float
    got_at: float

    @property
    def seconds(self) -> float:
        """From its first audio to its first words."""
        return self.got_at - self.sent_at


class WordsOnDemand(ThreadingTCPServer):
    """An STT server that keeps each stream's words until it is to send them. `streams`: by request id."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.streams: dict[str, Served] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def stream(self, request_id: str) -> Served:
        """A stream, whichever side asks for it first."""
        with self._lock:
            return self.streams.setdefault(request_id, Served())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Handler(StreamRequestHandler):
    def handle(self) -> None:
        self.connection.settimeout(PATIENCE_SECONDS)
        with suppress(OSError):  # the proxy may leave at any time
            head = _head(self.connection)
            if b"Upgrade" in head or b"upgrade" in head:
                self._stream(head)
            else:
                body = b'{"streams": 0}'
                self.connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                    + f"Content-Length: {len(body)}\r\n\r\n".encode()
                    + body
                )

    def _stream(self, head: bytes) -> None:
        assert isinstance(self.server, WordsOnDemand)
        connection = self.connection
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accept = accept_key(_header(head, "Sec-WebSocket-Key")).encode()
        # A client without a proxy in between has none.
        request_id = _header(head, "dg-request-id") or str(uuid4())
        connection.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + f"\r\ndg-request-id: {request_id}".encode() + _END_OF_HEAD
        )
        served = self.server.stream(request_id)
        connection.recv(65_536)
        served.heard_at = time.monotonic()
        served.heard.set()
        if not served.say.wait(PATIENCE_SECONDS):
            return
        words = frame(TEXT, _WORDS, masked=False)
        served.said_at = time.monotonic()
        connection.sendall(words)
        data = b""
        # The client's mask is four zeros, and the proxy passes its frames on as they are.
        while b"CloseStream" not in data:
            data += _received(connection)
        connection.sendall(_CLOSE)
        while connection.recv(65_536):
            pass


class Caller(threading.Thread):
    """A client of one stream, in a thread of its own. `seen`: set once it has its words.

    `opened`: set once it has its `request_id`. It sends no audio before `speak` is set, which it is at first.
    """

    def __init__(self, port: int, path: str, authorization: str) -> None:
        super().__init__(daemon=True)
        self.opened = threading.Event()
        self.speak = threading.Event()
        self.speak.set()
        self.request_id = ""
        self.seen: Seen | None = None
        self._port = port
        self._head = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()

    def run(self) -> None:
        """The whole stream."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE_SECONDS) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(self._head)
            self.request_id = _header(_head(connection), "dg-request-id")
            self.opened.set()
            if not self.speak.wait(PATIENCE_SECONDS):
                return
            audio = _masked(BINARY, _AUDIO)
            sent_at = time.monotonic()
            connection.sendall(audio)
            data = b""
            while _WORDS not in data:
                data += _received(connection)
                got_at = time.monotonic()
            self.seen = Seen(self.request_id, sent_at, got_at)
            connection.sendall(_masked(TEXT, b'{"type":"CloseStream"}'))
            while _CLOSE not in data:
                data += _received(connection)
            connection.sendall(_masked(CLOSE, struct.pack("!H", CloseCode.NORMAL)))


def _masked(opcode: int, payload: bytes) -> bytes:
    """A frame with a mask that changes nothing."""
    return frame_head(0x80 | opcode, len(payload), bytes(4)) + payload


def _received(connection: socket.socket, most: int = 65_536) -> bytes:
    data = connection.recv(most)
    if not data:
        raise ConnectionError("the connection ended before its last message")
    return data


def _head(connection: socket.socket) -> bytes:
    """Up to the empty line, byte by byte: what comes after it is not to be read with it."""
    head = bytearray()
    while not head.endswith(_END_OF_HEAD):
        head += _received(connection, 1)
    return bytes(head)


def _header(head: bytes, name: str) -> str:
    for line in head.decode("latin-1").split("\r\n"):
        key, _, value = line.partition(":")
        if key.lower() == name.lower():
            return value.strip()
    return ""
