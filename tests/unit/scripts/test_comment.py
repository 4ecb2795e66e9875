"""The comment on a pull request, against a server with GitHub's responses."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.unit.scripts.conftest import Place

MARKER = "<!-- preview: dev -->"


class GitHub:
    """A repository's comments over HTTP."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        github = self

        class Handler(BaseHTTPRequestHandler):
            def _responses(self, found: object) -> None:
                body = json.dumps(found).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _body(self) -> str:
                github.tokens.add(self.headers["Authorization"])
                given: dict[str, str] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                return given["body"]

            def do_GET(self) -> None:
                page = int(self.path.rpartition("page=")[2])
                self._responses(github.comments[(page - 1) * 100 : page * 100])

            def do_POST(self) -> None:
                assert self.path == "/repos/aldea/platform/issues/12/comments"
                github.add(self._body(), "Bot")
                self._responses({})

            def do_PATCH(self) -> None:
                number = int(self.path.removeprefix("/repos/aldea/platform/issues/comments/"))
                github.comments[number]["body"] = self._body()
                self._responses({})

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def add(self, body: str, kind: str) -> None:
        self.comments.append({"id": len(self.comments), "user": {"type": kind}, "body": body})

    @property
    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.server.server_port}"
        return {"GITHUB_API_URL": address, "GITHUB_REPOSITORY": "aldea/platform", "GITHUB_TOKEN": "token"}


@pytest.fixture
def github() -> Iterator[GitHub]:
    served = GitHub()
    thread = threading.Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


def test_a_second_preview_replaces_the_first(place: Place, github: GitHub) -> None:
    for _ in range(120):
        github.add("another word", "User")
    github.add(f"{MARKER}\nsomebody's imitation", "User")
    for text in ("first", "second"):
        (place.deploy / "preview-dev.md").write_text(text)
        said = place.run("comment", "dev", "12", **github.environment)
        assert said.returncode == 0, said.stderr
    assert [each["body"] for each in github.comments[120:]] == [
        f"{MARKER}\nsomebody's imitation",
        f"{MARKER}\nsecond",
    ]
    assert github.tokens == {"Bearer token"}


def test_a_text_that_github_would_refuse_is_cut_and_says_so(place: Place, github: GitHub) -> None:
    (place.deploy / "preview-dev.md").write_text("`````text\n" + "x" * 100_000)
    assert place.run("comment", "dev", "12", **github.environment).returncode == 0
    body = github.comments[0]["body"]
    assert len(body) < 65_536
    assert body.endswith("artifact)\n")


def test_a_preview_that_was_not_made_is_no_comment(place: Place, github: GitHub) -> None:
    said = place.run("comment", "prod", "12", **github.environment)
    assert said.returncode == 0
    assert github.comments == []


@pytest.mark.parametrize("arguments", [(), ("dev",), ("../dev", "12"), ("dev", "12; rm")])
def test_anything_but_a_name_and_a_number_is_refused(place: Place, arguments: tuple[str, ...]) -> None:
    said = place.run("comment", *arguments)
    assert said.returncode == 2
    assert "allowed" in said.stderr
