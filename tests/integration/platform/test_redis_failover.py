"""A real failover of Redis, both ways, under load: promoted, demoted, one name, and clients that stay connected."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import redis.asyncio as redis
from structlog.testing import capture_logs

from aldea.admission import Admission, Grant, Renewals
from aldea.ids import new_request_id, started_ms
from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import RedisLink
from aldea.redis.pool import MAX_CONNECTIONS
from aldea.redis.replicas import ReplicatedWrites
from aldea.redis.schema import USAGE_STREAM
from aldea.tasks import cancel, spawn
from aldea.usage.reading import Rank, UsageReading
from backend.pipeline import metrics as measures
from backend.pipeline import stream as streaming
from backend.pipeline.orphans import Orphans
from backend.pipeline.publisher import Publisher
from backend.pipeline.stream import UsageStream
from http_proxy.callbacks.store import Deliveries, Delivery, Room
from tests.integration.conftest import UsageQueues
from tests.integration.usage.test_usage_publisher import received
from tests.readings import KEY, PROJECT
from tests.support.failover import Pair
from tests.support.proxies import eventually, patient_link

# Seconds' worth of load before and after each failover: a machine that cannot do so much a second takes longer.
STEADY_SECONDS = 0.5
# Between promotion and demotion.
LOST_SECONDS = 0.2
# What must happen, on however busy a machine.
EVENTUALLY_SECONDS = 60.0


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    found = Pair(tmp_path)
    await found.start()
    with capture_logs():
        yield found
    await found.stop()


def granted() -> Grant:
    request_id = new_request_id()
    return Grant(
        request_id=request_id,
        started_ms=started_ms(request_id),
        project_id=PROJECT,
        key_id=KEY,
        credential_sha256="00",
        service="streaming",
        lane="main",
        path="/v1/listen",
    )


class Load:
    """A proxy's worth of requests that end, so many a second; `confirmed` are those that Redis has said it keeps.

    A machine that cannot do so many does what it can: what is not confirmed within a quarter of a second's worth of
    requests holds up the ones to come.
    """

    def __init__(self, admission: Admission, rate: int) -> None:
        self._admission = admission
        self._rate = rate
        self.confirmed: dict[str, UsageReading] = {}

    async def run(self) -> None:
        began, sent = time.monotonic(), 0
        ending: set[asyncio.Task[None]] = set()
        try:
            while True:
                due = int((time.monotonic() - began) * self._rate)
                for _ in range(min(due - sent, self._rate // 4 - len(ending))):
                    task = spawn(self._end(granted()), name="end")
                    ending.add(task)
                    task.add_done_callback(ending.discard)
                sent = due
                await asyncio.sleep(0.01)
        finally:
            if ending:
                await asyncio.wait(ending)

    async def steady(self) -> None:
        """Wait until some seconds' worth of requests more were confirmed."""
        enough = len(self.confirmed) + self._rate * STEADY_SECONDS
        await eventually(lambda: len(self.confirmed) >= enough, EVENTUALLY_SECONDS)

    async def _end(self, grant: Grant) -> None:
        final = replace(grant.reading(Rank.FINAL, 1), audio_ms=1000, status=101)
        await self._admission.finish(grant, final)
        self.confirmed[grant.request_id] = final


@pytest.mark.parametrize("rate", [200, 2000])
async def test_the_publisher_follows_the_name_both_ways_and_nothing_that_was_confirmed_is_lost(
    pair: Pair, usage_queues: UsageQueues, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.pipeline.publisher.MEASURE_SECONDS", 0.1)
    monkeypatch.setattr(streaming, "HOUSEKEEPING_SECONDS", 0.5)
    async with (
        patient_link(pair.url) as link,
        Admission(link, lane="main") as admission,
        streaming.connect(pair.url) as publishers,
    ):
        # What the old primary was the last to hear is acknowledged is claimed again, here after half a second.
        stream = UsageStream(publishers, claim_idle_ms=500)
        publisher = Publisher(stream, usage_queues.usage, usage_queues.dead_letters, linger_seconds=0.1)
        publisher.start()
        load = Load(admission, rate)
        running = [spawn(load.run(), name="load"), spawn(Renewals(admission, every=0.2).run(), name="renewals")]
        for _ in range(2):
            await load.steady()
            await pair.fail_over(LOST_SECONDS)
            await load.steady()
        await cancel(running[0])
        lost = dict(load.confirmed)

        async def some_arrived() -> bool:
            before = len(lost)
            for item in await received(usage_queues.usage):
                if lost.get(item.reading.request_id) == item.reading:
                    del lost[item.reading.request_id]
            return len(lost) < before

        with suppress(TimeoutError):
            while lost:  # as long as they do arrive
                await eventually(some_arrived, EVENTUALLY_SECONDS)
        assert not lost, f"{len(lost)} of {len(load.confirmed)} confirmed readings did not arrive"
        async with pair.direct(pair.primary) as primary:
            await eventually(lambda: _is_empty(primary), EVENTUALLY_SECONDS)
        # The publisher looks at the new primary, too: what that holds is what it shows.
        await eventually(lambda: measures.STREAM_AGE._value.get() == 0, EVENTUALLY_SECONDS)
        await cancel(*running)
        await publisher.stop()


async def _is_empty(primary: "redis.Redis") -> bool:
    return not await primary.xlen(USAGE_STREAM)


async def test_a_proxy_without_traffic_learns_of_a_failover_and_writes_its_finals_again(pair: Pair) -> None:
    async with patient_link(pair.url) as link, Admission(link, lane="main") as admission:
        renewals = spawn(Renewals(admission, every=0.1).run(), name="renewals")
        grant = granted()
        await eventually(lambda: link.available)
        async with pair.direct(pair.replica) as client:
            await client.replicaof("NO", "ONE")
        await admission.finish(grant, replace(grant.reading(Rank.FINAL, 1), audio_ms=1000))
        pair.primary = pair.replica
        pair.name.target = pair.ports[pair.primary]
        await pair.follow()
        async with pair.direct(pair.primary) as primary:

            async def written_again() -> bool:
                return bool(await primary.xlen(USAGE_STREAM))

            await eventually(written_again)
        await cancel(renewals)


async def test_every_kind_of_command_reaches_the_new_primary(pair: Pair) -> None:
    """A connection that only ever reads would never hear that its server is a replica."""
    async with RedisLink(pair.url, command_seconds=EVENTUALLY_SECONDS) as link:
        # All the connections that there can be, and then idle: a new one would reach the new primary.
        await _release(pair, await _reading(link, pair, pair.primary, MAX_CONNECTIONS))
        await pair.fail_over()
        reading = await _reading(link, pair, pair.replica, MAX_CONNECTIONS // 2)  # in use while the others are left
        await link.run(lambda client: client.set("a", 2))
        await _release(pair, reading)
        async with pair.direct(pair.primary) as primary:
            run_id = (await primary.info("server"))["run_id"]
        found = await asyncio.gather(*(link.run(lambda client: client.info("server")) for _ in range(50)))
        assert {one["run_id"] for one in found} == {run_id}


# What readers wait for: an entry of this stream, which every server hands out, a replica too.
AWAITED = "awaited"


async def _reading(link: RedisLink, pair: Pair, number: int, count: int) -> list[asyncio.Task[object]]:
    """So many reads that keep their connections to this server until `_release`."""

    async def read(client: "redis.Redis") -> object:
        return await client.xread({AWAITED: "$"}, block=0)

    async with pair.direct(number) as client:
        reading = [spawn(link.run(read), name="read") for _ in range(count)]

        async def all_wait() -> bool:
            listed = await client.client_list()
            return sum(one["name"] == "aldea" and "b" in one["flags"] for one in listed) == count

        await eventually(all_wait)
    return reading


async def _release(pair: Pair, reading: list[asyncio.Task[object]]) -> None:
    """Write what the readers wait for, at the primary: those at its replica get it from there."""
    async with pair.direct(pair.primary) as primary:
        await primary.xadd(AWAITED, {"r": "{}"})
    assert all(await asyncio.gather(*reading))


async def test_orphans_are_closed_on_the_new_primary(pair: Pair, usage_queues: UsageQueues) -> None:
    async with patient_link(pair.url) as link:
        orphans = Orphans(None, link, usage_queues.usage)  # type: ignore[arg-type]  # it writes without a database
        await orphans._write([granted().reading(Rank.INCOMPLETE, 1)])
        await pair.fail_over()
        await orphans._write([granted().reading(Rank.INCOMPLETE, 1)])
        async with pair.direct(pair.primary) as primary:
            assert await primary.xlen(USAGE_STREAM) == 2


async def test_whoever_waits_for_an_entry_when_the_server_is_demoted_waits_on_at_the_new_one(pair: Pair) -> None:
    async with streaming.connect(pair.url) as link:
        stream = UsageStream(link)
        await stream.create_group()
        async with pair.direct(pair.primary) as primary:
            assert await primary.wait(1, 10_000) == 1
        waiting = spawn(stream.read(10, block=True), name="waiting")
        await eventually(lambda: bool(stream._waiting))
        await pair.fail_over()
        assert await waiting == []
        async with pair.direct(pair.primary) as primary:
            await primary.xadd(USAGE_STREAM, {"r": "{}"})
        assert len(await stream.read(10, block=True)) == 1


def delivery() -> Delivery:
    return Delivery(
        request_id=new_request_id(),
        url="https://example.com/",
        method="POST",
        body="{}" + " " * 100_000,
        content_type="application/json",
        secret="s",
        reading=granted().reading(Rank.FINAL, 1).to_json(),
    )


def patient_deliveries(link: RedisLink) -> Deliveries:
    """A replica on a busy machine has more time than one in production to confirm a write."""
    deliveries = Deliveries(link, most_bytes=1 << 30)
    deliveries._writes = ReplicatedWrites(link, confirm_seconds=8)
    return deliveries


async def test_an_accepted_callback_outlives_its_primary(pair: Pair) -> None:
    async with RedisLink(pair.url, command_seconds=10, probe_seconds=0.05) as link:
        deliveries = patient_deliveries(link)
        kept = [delivery() for _ in range(20)]
        for one in kept:
            assert await deliveries.put(one) is Room.FREE
            if one is kept[-1]:
                pair.processes[pair.primary].kill()
        async with pair.direct(pair.replica) as client:
            await client.replicaof("NO", "ONE")
        pair.primary = pair.replica
        pair.name.target = pair.ports[pair.primary]
        await eventually(lambda: _usable(link))
        for one in kept:
            assert await deliveries.read(one.request_id) == one


async def _usable(link: RedisLink) -> bool:
    with suppress(RedisUnavailable):
        await link.ping()
        return True
    return False


async def test_a_callback_that_the_replica_does_not_confirm_is_not_accepted_and_redis_stays_good(pair: Pair) -> None:
    async with RedisLink(pair.url, command_seconds=10) as link:
        deliveries = patient_deliveries(link)
        assert await deliveries.put(delivery()) is Room.FREE
        pair.processes[pair.replica].signal(signal.SIGSTOP)
        deliveries._writes._confirm_seconds = 0.1
        for _ in range(4):  # more than open a circuit
            with pytest.raises(RedisUnavailable, match="no replica confirmed a write within 100 ms"):
                await deliveries.put(delivery())
        assert link.available


async def test_a_primary_that_was_replaced_accepts_no_callback_until_it_is_left(pair: Pair) -> None:
    async with RedisLink(pair.url, command_seconds=10) as link:
        deliveries = patient_deliveries(link)
        assert await deliveries.put(delivery()) is Room.FREE
        async with pair.direct(pair.replica) as client:
            await client.replicaof("NO", "ONE")
        async with pair.direct(pair.primary) as client:
            await eventually(lambda: _replicas(client, 0))
        with pytest.raises(RedisUnavailable, match="replica has left"):
            await deliveries.put(delivery())
        pair.primary = pair.replica
        pair.name.target = pair.ports[pair.primary]
        await pair.follow()
        kept = delivery()
        await eventually(lambda: _accepted(deliveries, kept))
        assert await deliveries.read(kept.request_id) == kept


async def test_a_process_that_has_written_no_callback_yet_knows_a_primary_that_was_replaced(pair: Pair) -> None:
    async with RedisLink(pair.url, command_seconds=10) as link:
        deliveries = patient_deliveries(link)
        assert await deliveries.take(1, 1, most_bytes=1, one_at_least=True) == []
        async with pair.direct(pair.replica) as client:
            await client.replicaof("NO", "ONE")
        async with pair.direct(pair.primary) as client:
            await eventually(lambda: _replicas(client, 0))
        with pytest.raises(RedisUnavailable, match="replica has left"):
            await deliveries.put(delivery())


async def _accepted(deliveries: Deliveries, one: Delivery) -> bool:
    with suppress(RedisUnavailable):
        return await deliveries.put(one) is Room.FREE
    return False


async def _replicas(client: "redis.Redis", count: int) -> bool:
    return int((await client.info("replication"))["connected_slaves"]) == count
