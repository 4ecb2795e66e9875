import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from aldea import healthcheck


class Healthz(BaseHTTPRequestHandler):
    """Responds with the server's `status`."""

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/healthz" else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Healthz) as made:
        made.status = 200  # type: ignore[attr-defined]
        serving = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        monkeypatch.setenv("PORT", str(made.server_port))
        yield made
        made.shutdown()
        serving.join()


def test_a_service_that_responds_with_200_is_alive(server: HTTPServer) -> None:
    assert healthcheck.main() == 0


def test_a_draining_service_is_not(server: HTTPServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.status = 503  # type: ignore[attr-defined]
    assert healthcheck.main() == 1
    assert "503" in capsys.readouterr().err


@pytest.mark.parametrize(("port", "said"), [("1", "no response on port 1"), ("", "PORT is ''"), ("x", "PORT is 'x'")])
def test_a_closed_port_or_none_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], port: str, said: str
) -> None:
    monkeypatch.setenv("PORT", port)
    assert healthcheck.main() == 1
    assert said in capsys.readouterr().err
