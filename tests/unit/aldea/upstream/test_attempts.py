"""One request's way through the servers, and whose work it counts as."""

import asyncio
import random

import pytest

from aldea.upstream import Upstreams
from aldea.upstream.stats import Stats


def lane(*ports: int) -> Upstreams:
    return Upstreams([f"http://127.0.0.1:{port}" for port in ports], chance=random.Random(1).random)


async def test_each_server_counts_the_request_while_it_is_tried_and_the_kept_one_until_its_release() -> None:
    upstreams = lane(1, 2)
    seen = []
    with upstreams.attempts() as attempts:
        async for server in attempts:
            seen.append([each.held for each in upstreams.servers])
            if attempts.last:
                assert attempts.keep() is server
    assert seen == [[1, 0], [0, 1]]
    assert [server.held for server in upstreams.servers] == [0, 1]
    upstreams.release(upstreams.servers[1])
    assert [server.held for server in upstreams.servers] == [0, 0]


async def test_a_request_that_fails_or_finds_no_server_counts_nowhere() -> None:
    upstreams = lane(1, 2)
    with pytest.raises(asyncio.CancelledError), upstreams.attempts() as attempts:
        async for _server in attempts:
            raise asyncio.CancelledError
    with upstreams.attempts() as attempts:
        async for _server in attempts:
            pass
        with pytest.raises(RuntimeError):
            attempts.keep()
    assert [server.held for server in upstreams.servers] == [0, 0]


async def test_a_server_to_be_avoided_or_left_is_not_tried() -> None:
    upstreams = lane(1, 2, 3)
    first, second, third = upstreams.servers
    with upstreams.attempts(avoiding=second) as attempts:
        tried = []
        async for server in attempts:
            tried.append(server)
            upstreams.note_stats(third, Stats(draining=True), 0)  # while the first one is tried
    assert tried == [first]
