"""Reservations of recorded files: files that race for the rest of a limit share it, and counts end exact."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
import redis.asyncio as redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aldea import errors
from aldea.admission import Admission, Grant, Verdict, scripts
from aldea.credentials import Credential
from aldea.ids import new_request_id
from aldea.redis import schema
from aldea.redis.link import RedisLink
from aldea.redis.schema import RESERVED, Limits, month, spent_key, used_key
from aldea.usage.reading import Rank
from backend.usage.money import cost_micros
from tests.integration.admission.test_admission_subjects import (
    ACCOUNT,
    KEYS,
    PRICE,
    SUBJECTS,
    WHOSE,
    Model,
    Running,
    credential,
    limit_sets,
    load,
    subjects,
)
from tests.support.proxies import Customer, patient_link

MICRO_A_MS = 3_600_000  # micro-dollars an hour: one a millisecond


async def admit(admission: Admission, customer: Customer) -> Grant:
    return await admission.admit(
        Credential(customer.key.sha256), request_id=new_request_id(), service="prerecorded", path="/v1/listen"
    )


async def test_of_files_that_race_for_the_last_credit_those_that_it_pays_for_get_in(
    redis_url: str, customer: Customer, redis_client: redis.Redis
) -> None:
    account_id = await customer.fund(100_000, micros_per_hour=MICRO_A_MS)
    together = asyncio.Barrier(20)
    refusals = set[str]()

    async def counted() -> tuple[int, int]:
        used = await redis_client.get(used_key(customer.project_id, month_of))
        return int(used or 0), int(await redis_client.hget(spent_key(account_id), "micros") or 0)

    async def upload(admission: Admission) -> Grant | None:
        grant = await admit(admission, customer)
        await together.wait()
        try:
            await admission.reserve(grant, 60_000)
        except errors.PaymentRequired as error:
            refusals.add(error.message)
            await admission.finish(grant, grant.reading(Rank.FINAL, 9, status=402))
            return None
        return grant

    async with (
        patient_link(redis_url) as one,
        patient_link(redis_url) as other,
        Admission(one, lane="main") as first,
        Admission(other, lane="main") as second,
    ):
        found = await asyncio.gather(*(upload(first if n % 2 else second) for n in range(20)))
        [winner] = [grant for grant in found if grant is not None]
        month_of = month(winner.started_ms)
        [message] = refusals
        assert "balance of 0.04 USD" in message
        assert "has no room for this file, which is estimated at 60 s and 0.06 USD" in message
        assert await counted() == (60_000, 60_000)
        await first.finish(winner, winner.reading(Rank.FINAL, 9, audio_ms=59_000))
        assert await counted() == (59_000, 59_000)
        assert not await redis_client.exists(RESERVED)
        # What is left is there for the next, to the millisecond.
        last = await admit(first, customer)
        with pytest.raises(errors.PaymentRequired):
            await first.reserve(last, 41_001)
        await first.reserve(last, 41_000)
        assert await counted() == (100_000, 100_000)
        with pytest.raises(errors.PaymentRequired):
            await admit(second, customer)


@pytest.mark.parametrize("limit", ["monthly_audio_ms", "budget"])
async def test_a_file_that_takes_all_that_is_left_fits_and_one_that_is_a_millisecond_longer_does_not(
    redis_url: str, customer: Customer, redis_client: redis.Redis, limit: str
) -> None:
    await customer.fund(10**6, micros_per_hour=MICRO_A_MS)
    await redis_client.hset(schema.project_key(customer.project_id), limit, "100")
    async with patient_link(redis_url) as link, Admission(link, lane="main") as admission:
        first, longer, fitting = [await admit(admission, customer) for _ in range(3)]
        await admission.reserve(first, 40)
        with pytest.raises(errors.PaymentRequired):
            await admission.reserve(longer, 61)
        await admission.reserve(fitting, 60)
        await admission.reserve(fitting, 60)  # the caller lost the response


async def test_a_file_is_not_ended_because_its_own_reservation_used_up_the_rest(
    redis_url: str, customer: Customer
) -> None:
    await customer.fund(100, micros_per_hour=MICRO_A_MS)
    async with patient_link(redis_url) as link, Admission(link, lane="main") as admission:
        file, stream = await admit(admission, customer), await admit(admission, customer)
        await admission.reserve(file, 100)
        for grant, verdict in ((file, Verdict.OK), (stream, Verdict.BALANCE)):
            response = await admission.outbox.renew(grant, grant.reading(Rank.OPEN, 1))
            assert Verdict(response[0]) is verdict


async def test_an_emptied_redis_forgets_a_reservation_and_books_the_file_all_the_same(
    redis_url: str, customer: Customer, redis_client: redis.Redis
) -> None:
    account_id = await customer.fund(1000, micros_per_hour=MICRO_A_MS)
    async with patient_link(redis_url) as link, Admission(link, lane="main") as admission:
        grant = await admit(admission, customer)
        await admission.reserve(grant, 700)
        await redis_client.flushall()
        await admission.outbox.renew(grant, grant.reading(Rank.OPEN, 1))
        await admission.finish(grant, grant.reading(Rank.FINAL, 2, audio_ms=300))
    assert await redis_client.hget(spent_key(account_id), "micros") in {"300", b"300"}


@dataclass
class File(Running):
    """A request that may have reserved."""

    reserved: int | None = None

    @property
    def audio_ms(self) -> int:
        return super().audio_ms if self.ended else max(super().audio_ms, self.reserved or 0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "reserve", "reserve", "renew", "finish", "again", "lose"]),
        st.integers(0, 999),
        st.integers(1, 900),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=limit_sets(), steps=STEPS)
def test_any_order_repetition_and_loss_books_no_less_than_is_reserved_and_exactly_what_it_was_at_the_end(
    redis_server: Any, limits: dict[str, Limits], steps: list[tuple[str, int, int]]
) -> None:
    asyncio.run(_walk(redis_server.url, limits, steps))


async def _walk(url: str, limits: dict[str, Limits], steps: list[tuple[str, int, int]]) -> None:
    model, files = Model(limits), list[File]()
    async with RedisLink(url, command_seconds=5) as link, Admission(link, lane="main", max_offline=0) as admission:
        client = link._pool.client
        await client.flushall()
        await load(client, limits)
        for step, pick, audio_ms in steps:
            if step == "admit" or not files:
                key = list(KEYS)[pick % len(KEYS)]
                try:
                    grant = await admission.admit(
                        credential(key), request_id=new_request_id(), service="streaming", path="/"
                    )
                except errors.ApiError:
                    continue
                files.append(File(key, grant))
                model.requests.append(files[-1])
                continue
            file = files[pick % len(files)]
            if step == "reserve":
                await _reserve(admission, model, file, audio_ms)
            elif step == "lose":
                file.next(Rank.OPEN, audio_ms)
            elif step == "renew" and not file.ended:
                await _send(link, model, file, Rank.OPEN, audio_ms)
            elif step == "finish":
                await _send(link, model, file, Rank.FINAL, audio_ms)
            elif step == "again" and file.made:
                await _again(link, model, file, audio_ms % len(file.made))
        await _compare(client, model, files)
        for file in files:
            await _send(link, model, file, Rank.FINAL, 7)
        await _compare(client, model, files)
        assert not await client.exists(RESERVED)


async def _reserve(admission: Admission, model: Model, file: File, audio_ms: int) -> None:
    left_alone = file.greatest is not None or file.reserved is not None
    fits = True
    for subject in subjects(file.key):
        limit, (used_ms, micros) = model.limits[subject], model.used(subject)
        if limit.monthly_audio_ms is not None and used_ms + audio_ms > limit.monthly_audio_ms:
            fits = False
        if limit.monthly_budget_micros is not None:
            fits = fits and micros + max(1, cost_micros(audio_ms, PRICE)) <= limit.monthly_budget_micros
    try:
        await admission.reserve(file.grant, audio_ms)
    except errors.PaymentRequired:
        assert not left_alone
        assert not fits
        return
    assert left_alone or fits
    if not left_alone:
        file.reserved = audio_ms


async def _send(link: RedisLink, model: Model, file: File, rank: Rank, audio_ms: int) -> None:
    file.next(rank, audio_ms)
    await _again(link, model, file, len(file.made) - 1)


async def _again(link: RedisLink, model: Model, file: File, which: int) -> None:
    reading = file.made[which]
    if reading.rank is Rank.FINAL:
        await link.call(*scripts.finish(file.grant, reading, 0))
        file.arrived(reading)
    elif not file.ended:
        response = await link.call(*scripts.renew(file.grant, reading, 0, 30_000))
        file.arrived(reading)
        paid_for = file.reserved is not None and reading.audio_ms < file.reserved
        assert Verdict(response[0]).value == (("" if paid_for else model.used_up(file.key)) or "ok")


async def _compare(client: redis.Redis, model: Model, files: list[File]) -> None:
    for subject in SUBJECTS:
        limit, (audio_ms, micros) = model.limits[subject], model.used(subject)
        [*used] = await client.keys(f"used:{subject}:*")
        assert sum([int(await client.get(name) or 0) for name in used]) == (
            audio_ms if WHOSE[subject] == "project" else 0
        )
        is_project = WHOSE[subject] == "project"
        if limit.monthly_budget_micros is not None or (not is_project and limit != Limits(counted_as=subject)):
            found = [await client.hmget(name, "audio_ms", "micros") for name in await client.keys(f"spent:{subject}:*")]
            assert [sum(int(one[part] or 0) for one in found) for part in (0, 1)] == [audio_ms, micros]
    assert int(await client.hget(schema.spent_key(ACCOUNT), "micros") or 0) == model.used(ACCOUNT)[1]
    running = {file.grant.request_id for file in files if file.reserved is not None and not file.ended}
    assert {str(name) for name in await client.hgetall(RESERVED)} == running
