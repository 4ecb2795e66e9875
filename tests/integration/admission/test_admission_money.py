"""Money in Redis: what admission, renewal and end book, from several proxies at once, and what key_sync puts right."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio as redis

from aldea import errors
from aldea.admission import Admission, Grant, Verdict, scripts
from aldea.credentials import Credential
from aldea.ids import new_request_id, started_ms
from aldea.postgres import Database
from aldea.redis.link import RedisLink, Script
from aldea.redis.schema import USAGE_STREAM, metered_key, prices_key, spent_in_month_key, spent_key, used_key
from aldea.usage.reading import Rank, Service, UsageReading
from backend.credits.settlement import SETTLED_SECONDS, Settlement
from backend.key_sync import KeySync
from backend.replication.mirror import Mirror
from backend.replication.mirrored_rows import MirroredRows
from backend.replication.notify import Listener
from backend.usage.money import cost_micros
from tests.integration.conftest import UsageQueues
from tests.support.proxies import Customer, patient_link

PRICE = 3_600_000  # micro-dollars an hour: one a millisecond


@pytest.fixture
async def admission(redis_url: str) -> AsyncIterator[Admission]:
    async with patient_link(redis_url) as link, Admission(link, lane="main") as found:
        yield found


async def admit(admission: Admission, customer: Customer, service: Service = "streaming", **more: Any) -> Grant:
    return await admission.admit(
        Credential(customer.key.sha256), request_id=new_request_id(), service=service, path="/v1/listen", **more
    )


def final(grant: Grant, audio_ms: int) -> UsageReading:
    return replace(grant.reading(Rank.FINAL, 99), audio_ms=audio_ms, status=101)


async def spent(store: redis.Redis, account_id: str) -> int:
    return int(await store.hget(spent_key(account_id), "micros") or 0)


async def test_redis_and_the_bill_round_alike_for_every_audio_and_price(admission: Admission) -> None:
    draw = random.Random(7)
    edges = [(0, 0), (1, 1), (1_800_000, 1), (1_799_999, 1), (3_600_000, 1), (3_599_999, 10**9), (10**11, 10**9)]
    cases = edges + [(draw.randrange(10 ** draw.randint(1, 11)), draw.randrange(10**9 + 1)) for _ in range(400)]
    money = (scripts._FOLDER / "money.lua").read_text()
    reckon = Script(
        money + "local found = {} for i = 1, #ARGV, 2 do"
        " found[#found + 1] = string.format('%.0f', charge(tonumber(ARGV[i]), tonumber(ARGV[i + 1]))) end return found"
    )
    found = await admission.link.call(reckon, [], [figure for case in cases for figure in case])
    for case, micros in zip(cases, found, strict=True):
        # Beyond 2^53 a double is no integer: nine billion dollars for one request.
        assert int(micros) == cost_micros(*case) or cost_micros(*case) > 1 << 53, case


async def test_every_renewal_and_the_end_add_what_is_new_at_the_requests_own_price(
    admission: Admission, customer: Customer, redis_client: redis.Redis
) -> None:
    account_id = await customer.fund(10_000, micros_per_hour=PRICE)
    stream = await admit(admission, customer)
    assert (stream.account_id, stream.micros_per_hour) == (account_id, PRICE)
    for seq, total in ((1, 400), (2, 400), (3, 1000), (3, 1000), (2, 400)):
        checkpoint = replace(stream.reading(Rank.OPEN, seq), audio_ms=total)
        response = await admission.outbox.renew(stream, checkpoint)
        assert admission.outbox.renewed(stream, checkpoint, response) is Verdict.OK
    assert await spent(redis_client, account_id) == 1000
    # The price that holds for others from now on does not hold for it.
    await redis_client.hset(prices_key("prepaid"), "streaming", f"0 {PRICE * 2}")
    await admission.finish(stream, final(stream, 1500))
    await admission.finish(stream, final(stream, 1500))
    assert await spent(redis_client, account_id) == 1500
    dearer = await admit(admission, customer)
    await admission.finish(dearer, final(dearer, 100))
    assert await spent(redis_client, account_id) == 1700


async def test_a_models_own_price_goes_before_that_of_any(
    admission: Admission, customer: Customer, redis_client: redis.Redis
) -> None:
    await customer.fund(10_000, micros_per_hour=PRICE)
    await redis_client.hset(prices_key("prepaid"), "streaming fast", "0 7")
    assert (await admit(admission, customer, query=[("model", "fast")])).micros_per_hour == 7
    assert (await admit(admission, customer, query=[("model", "slow")])).micros_per_hour == PRICE
    assert (await admit(admission, customer, "prerecorded", query=[("model", "fast")])).micros_per_hour == PRICE


async def test_proxies_that_race_for_the_last_cent_book_each_request_once_and_refuse_from_then_on(
    redis_url: str, customer: Customer, redis_client: redis.Redis
) -> None:
    account_id = await customer.fund(50_000, micros_per_hour=PRICE)

    async def race(seed: int) -> int:
        draw, booked = random.Random(seed), 0
        async with patient_link(redis_url) as link, Admission(link, lane="main") as admission:
            while True:
                try:
                    grant = await admit(admission, customer)
                except errors.PaymentRequired:
                    return booked
                audio_ms = draw.randrange(900, 1100)
                await admission.finish(grant, final(grant, audio_ms))
                booked += audio_ms

    booked = sum(await asyncio.gather(*(race(seed) for seed in range(6))))
    assert await spent(redis_client, account_id) == booked
    # Each of the six may have had one request in flight.
    assert 50_000 <= booked < 50_000 + 6 * 1100


@pytest.mark.parametrize(("owed", "spent_before", "admitted"), [(500, 599, True), (500, 600, False)])
async def test_who_pays_afterwards_owes_up_to_the_credit_limit(
    admission: Admission, customer: Customer, redis_client: redis.Redis, owed: int, spent_before: int, admitted: bool
) -> None:
    account_id = await customer.fund(100, micros_per_hour=PRICE, owed_micros=owed)
    await redis_client.hset(spent_key(account_id), "micros", spent_before)
    if admitted:
        await admit(admission, customer)
    else:
        with pytest.raises(errors.PaymentRequired, match=r"-0\.0005 USD.*credit limit of 0\.0005 USD"):
            await admit(admission, customer)


class Platform:
    """A billing account in PostgreSQL and Redis, whose spend both have."""

    def __init__(self, database: Database, link: RedisLink, queues: UsageQueues) -> None:
        self.database = database
        self.link = link
        self.mirror = Mirror(link, MirroredRows(database))
        self.queues = queues
        self.now = 0.0
        self.account_id = ""

    def settlement(self) -> Settlement:
        return Settlement(self.database, self.link, self.mirror, self.queues.usage, clock=lambda: self.now)

    async def charge(self, micros: int) -> None:
        """What sqs_updater has merged so far."""
        async with self.database.connection() as connection:
            await connection.execute(
                "insert into account_spend as spend values ($1, $2) on conflict (account_id)"
                " do update set spent_micros = spend.spent_micros + excluded.spent_micros",
                self.account_id,
                micros,
            )

    async def booked(self, micros: int) -> None:
        """What proxies have counted."""
        await self.link.run(lambda client: client.hincrby(spent_key(self.account_id), "micros", micros))

    async def spent(self) -> int:
        return int(await self.link.run(lambda client: client.hget(spent_key(self.account_id), "micros")) or 0)


@pytest.fixture
async def platform(database: Database, redis_url: str, usage_queues: UsageQueues) -> AsyncIterator[Platform]:
    async with patient_link(redis_url) as link:
        found = Platform(database, link, usage_queues)
        async with database.connection() as connection:
            found.account_id = str(
                await connection.fetchval("insert into billing_accounts (plan) values ('prepaid') returning account_id")
            )
        yield found


async def test_a_spend_that_redis_lost_is_raised_to_postgresqls_figure_with_the_keys(platform: Platform) -> None:
    await platform.charge(300)
    sync = KeySync(platform.database, platform.link, platform.mirror, Listener(platform.database, lambda: None))
    await sync.reconcile()
    assert await platform.spent() == 300
    await platform.booked(50)  # what the pipeline still carries
    await sync.reconcile()
    assert await platform.spent() == 350


async def test_a_spend_that_was_counted_twice_is_lowered_once_while_others_go_on(platform: Platform) -> None:
    sweeps = [platform.settlement() for _ in range(3)]
    await platform.charge(1000)
    await platform.booked(1700)  # 600 too many, and 100 on their way
    assert [await one.sweep_now() for one in sweeps] == [0, 0, 0]
    await platform.charge(100 + 40)
    await platform.booked(40)
    assert [await one.sweep_now() for one in sweeps] == [0, 0, 0]
    platform.now += SETTLED_SECONDS
    # 1,700 were there, of which 1,140 arrived: whatever came since makes the surplus seem smaller, never larger.
    assert sum(await asyncio.gather(*(one.sweep_now() for one in sweeps))) == 1
    assert await platform.spent() == 1740 - 560
    for _ in range(2):
        await sweeps[0].sweep_now()
        platform.now += SETTLED_SECONDS
    assert await platform.spent() == 1140


async def test_a_projects_audio_of_the_month_is_brought_to_postgresqls_figure_both_ways(platform: Platform) -> None:
    async with platform.database.connection() as connection:
        [project_id, month] = await connection.fetchval(
            "insert into projects (name, account_id) values ('p', $1)"
            " returning array[project_id::text, to_char(now() at time zone 'utc', 'YYYYMM')]",
            platform.account_id,
        )
    counter, marks = used_key(project_id, month), spent_in_month_key(project_id, month)

    async def merge(audio_ms: int) -> None:
        async with platform.database.connection() as connection:
            await connection.execute(
                "insert into usage_daily values ($1, (now() at time zone 'utc')::date, uuidv7(), 'streaming', 'other',"
                " 1, $2, 1, 1, 1)",
                project_id,
                audio_ms,
            )

    async def count(audio_ms: int) -> int:
        return int(await platform.link.run(lambda client: client.incrby(counter, audio_ms)))

    await merge(1000)
    sync = KeySync(platform.database, platform.link, platform.mirror, Listener(platform.database, lambda: None))
    await sync.reconcile()
    assert await count(0) == 1000  # what Redis had lost
    sweeps = [platform.settlement() for _ in range(3)]
    await count(700)  # 600 too many, and 100 on their way
    assert [await one.sweep_now() for one in sweeps] == [0, 0, 0]
    await merge(100 + 40)
    await count(40)
    platform.now += SETTLED_SECONDS
    assert sum(await asyncio.gather(*(one.sweep_now() for one in sweeps))) == 1
    assert await count(0) == 1740 - 560
    for _ in range(3):
        await sweeps[0].sweep_now()
        platform.now += SETTLED_SECONDS
    await sync.reconcile()
    assert await count(0) == 1140
    # Neither lives for ever.
    assert await platform.link.run(lambda client: client.ttl(counter)) > 0
    assert await platform.link.run(lambda client: client.ttl(marks)) > 0


@pytest.mark.parametrize("waiting", ["in the queue", "in redis"])
async def test_while_readings_wait_no_spend_is_lowered(platform: Platform, waiting: str) -> None:
    await platform.charge(1000)
    await platform.booked(1700)
    sweep = platform.settlement()
    await sweep.sweep_now()
    platform.now += SETTLED_SECONDS / 2
    if waiting == "in the queue":
        await platform.queues.usage.send(["x"])
    else:
        await platform.link.run(lambda client: client.xadd(USAGE_STREAM, {"r": "x"}, id="1-1"))
    await sweep.sweep_now()
    platform.now += SETTLED_SECONDS
    await sweep.sweep_now()
    assert await platform.spent() == 1700


async def test_changes_of_an_account_do_not_need_a_project(platform: Platform) -> None:
    """Its record is written with the others, and one of an unknown account is removed."""
    await platform.link.run(lambda client: client.hset(f"account:{new_request_id()}", "plan", "free"))
    sync = KeySync(platform.database, platform.link, platform.mirror, Listener(platform.database, lambda: None))
    await sync.reconcile()
    names = await platform.link.run(lambda client: client.keys("account:*"))
    assert names == [f"account:{platform.account_id}"]


async def test_what_running_files_have_reserved_is_no_surplus_until_they_are_lost(platform: Platform) -> None:
    sweep = platform.settlement()
    await platform.charge(1000)
    await platform.booked(1000)

    async def reserved() -> Grant:
        request_id = new_request_id()
        grant = Grant(
            request_id=request_id, started_ms=started_ms(request_id), project_id=platform.account_id, key_id="k",
            credential_sha256="ab", service="prerecorded", lane="main", path="/", account_id=platform.account_id,
            micros_per_hour=PRICE,
        )  # fmt: skip
        assert await platform.link.call(*scripts.reserve(grant, 600)) == ["reserved"]
        return grant

    async def settled(while_it_waits: Grant | None = None) -> int:
        assert await sweep.sweep_now() == 0
        if while_it_waits is not None:
            await platform.link.call(*scripts.finish(while_it_waits, final(while_it_waits, 50), 0))
            await platform.charge(50)
        platform.now += SETTLED_SECONDS
        return await sweep.sweep_now()

    runs = await reserved()
    assert await settled() == 0
    assert await platform.spent() == 1600  # however long it runs
    assert await settled(while_it_waits=runs) == 0
    assert await platform.spent() == 1050
    # A proxy that is killed ends no request, and Redis forgets what it does not renew.
    lost = await reserved()
    await platform.link.run(lambda client: client.delete(metered_key(lost.request_id)))
    assert await settled() == 1
    assert await platform.spent() == 1050
    # Its proxy was only cut off, and ends it after all.
    assert await settled(while_it_waits=lost) == 0
    assert await platform.spent() == 1100
    assert await settled() == 0
    assert await platform.spent() == 1100
