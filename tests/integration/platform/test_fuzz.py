"""Every service under hostile requests of strangers and of key holders: no 5xx, no hang, nothing left behind."""

import gzip
import os
import sys

import pytest
import structlog

from aldea.postgres import Database
from onebox.demo import SAMPLE
from tests.fuzz.estate import estate
from tests.fuzz.inputs import End, Request
from tests.fuzz.responses import send
from tests.fuzz.run import run
from tests.integration.conftest import UsageQueues

# `make fuzz` sends many more.
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "400"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))


def report(line: str) -> None:
    sys.stderr.write(f"fuzz: {line}\n")


@pytest.mark.timeout(300 + REQUESTS)
async def test_whatever_is_sent_gets_a_response_at_once_and_leaves_nothing(
    database: Database, database_url: str, redis_url: str, usage_queues: UsageQueues
) -> None:
    with structlog.testing.capture_logs():
        async with estate(database, database_url, redis_url, usage_queues) as found:
            outcome = await run(found, seed=SEED, requests=REQUESTS, report=report)
    assert not outcome.faults, "\n".join(outcome.faults)
    served = {name for (name, status), _ in outcome.statuses.items() if 200 <= status < 300 or status == 101}
    assert served == {target.name for target in found.targets}, outcome.statuses


# A second of speech.
WORDS = SAMPLE.read_bytes()[:32_000]
PART = b"--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n"
GZIP, FORM = b"Content-Encoding: gzip\r\n", b"Content-Type: multipart/form-data; boundary=x\r\n"
# What once kept a place of the engine, and its caller, for minutes: path, headers, body.
HELD = (
    (b"/v1/listen", GZIP, b"not gzip"),
    (b"/v1/listen", b"Content-Encoding: deflate\r\n", b"not deflate"),
    (b"/v1/listen", b"Content-Encoding: br\r\n", b"not brotli"),
    (b"/v1/listen", GZIP, gzip.compress(WORDS, mtime=0)[:2000]),
    (b"/transcribe", GZIP + FORM, PART + b"\r\na\r\n--x--\r\n"),
    (b"/transcribe", b"Content-Type: multipart/form-data\r\n", PART + b"\r\na\r\n--x--\r\n"),
    (b"/transcribe", FORM, b"--x\r\nno colon\r\n\r\na\r\n--x--\r\n"),
    (b"/transcribe", FORM, b"--x\r\nX: " + b"a" * 20_000 + b"\r\n\r\na"),
    (b"/transcribe", FORM, PART),
)


async def test_no_upload_that_cannot_be_read_keeps_a_place_or_a_lease(
    database: Database, database_url: str, redis_url: str, usage_queues: UsageQueues
) -> None:
    async with estate(database, database_url, redis_url, usage_queues) as found:
        (target,) = (target for target in found.targets if target.name == "http_proxy")
        key = target.secrets[0].encode()

        async def status(path: bytes, headers: bytes, body: bytes) -> int:
            head = b"POST %b HTTP/1.1\r\nHost: x\r\nAuthorization: Token %b\r\nContent-Length: %d\r\n" % (
                path,
                key,
                len(body),
            )
            response = await send(Request(target, b"POST", (head + headers + b"\r\n" + body,), End.WAIT))
            assert not response.faults, response.faults
            return response.status

        for _ in range(2):  # more often than the engine has places
            for held in HELD:
                assert await status(*held) in {400, 422}, held
        assert await status(b"/v1/listen", b"Content-Type: audio/wav\r\n", WORDS) == 200
        compressed = gzip.compress(WORDS, mtime=0)
        assert await status(b"/v1/listen", b"Content-Encoding: gzip\r\n", compressed) == 200
        assert await found.comes_to_rest() == []
