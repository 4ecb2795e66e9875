"""A relay before an SQS endpoint, for faults of the queue: it is unavailable, or its messages have waited for long."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from tests.support.http_server import served

_SENT = re.compile(rb'("SentTimestamp": ?")(\d+)')
# Longer than any long poll.
DEADLINE = 60.0
_OF_A_HOP = {"connection", "content-length", "transfer-encoding", "date", "server"}


@dataclass
class QueueRelay:
    """Where services find the queue. `older_seconds`: so much earlier than it was is each message said to be sent."""

    url: str = ""
    unavailable: bool = False
    older_seconds: int = 0

    def aged(self, body: bytes) -> bytes:
        """A response, with the time of each message that is in it."""
        earlier = self.older_seconds * 1000
        return _SENT.sub(lambda found: found[1] + b"%d" % (int(found[2]) - earlier), body)


@contextmanager
def queue_relay(endpoint: str) -> Iterator[QueueRelay]:
    """A relay that listens, in threads of its own."""
    relay = QueueRelay()
    target = urlsplit(endpoint)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if relay.unavailable:
                self._respond(503, [], b"")
                return
            behind = HTTPConnection(str(target.hostname), target.port or 80, timeout=DEADLINE)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_A_HOP}
                behind.request("POST", self.path, sent, headers)
                response = behind.getresponse()
                body = relay.aged(response.read())
            except OSError:
                self._respond(503, [], b"")
                return
            finally:
                behind.close()
            self._respond(response.status, response.getheaders(), body)

        def _respond(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            try:
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in _OF_A_HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:  # a caller that stopped
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with served(Handler) as relay.url:
        yield relay
