"""Limits over key, project and account: whatever comes in whatever order, each counts what is its own, and refuses."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import redis.asyncio as redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aldea import errors
from aldea.admission import Admission, Grant, Verdict, scripts
from aldea.admission.grant import Application
from aldea.credentials import Credential, mint_api_key, sha256_hex
from aldea.ids import new_request_id
from aldea.redis import schema
from aldea.redis.link import RedisLink
from aldea.redis.schema import AccountRecord, CredentialRecord, Limits, ProjectRecord
from aldea.usage.reading import Rank, UsageReading
from backend.usage.money import cost_micros
from tests.support.proxies import patient_link

PRICE = 1_800_000  # micro-dollars an hour: half a one a millisecond
ACCOUNT = "0190a5e2-0000-7000-8000-0000000000aa"
PROJECTS = ("0190a5e2-0000-7000-8000-00000000001a", "0190a5e2-0000-7000-8000-00000000002a")
# Two keys of the first project, which count as one; one of the second.
KEYS = {"a": PROJECTS[0], "b": PROJECTS[0], "c": PROJECTS[1]}
COUNTED_AS = {"a": "key-ab", "b": "key-ab", "c": "key-c"}
WHOSE = {"key-ab": "key", "key-c": "key", ACCOUNT: "account", **dict.fromkeys(PROJECTS, "project")}
SUBJECTS = tuple(WHOSE)


def credential(key: str) -> Credential:
    return Credential(sha256_hex(key))


def subjects(key: str) -> tuple[str, str, str]:
    return COUNTED_AS[key], KEYS[key], ACCOUNT


async def load(client: redis.Redis, limits: dict[str, Limits]) -> None:
    """Write all records, as the backend would."""
    account = AccountRecord(plan="free", granted_micros=None, owed_micros=None, limits=limits[ACCOUNT])
    records = {schema.account_key(ACCOUNT): account.to_hash(), "prices:free": {"streaming": f"0 {PRICE}"}}
    for project_id in PROJECTS:
        limit = limits[project_id]
        record = ProjectRecord(
            state="active",
            requests_per_minute=limit.requests_per_minute,
            concurrent_streams=limit.concurrent_streams,
            monthly_audio_ms=limit.monthly_audio_ms,
            monthly_budget_micros=limit.monthly_budget_micros,
            account_id=ACCOUNT,
        )
        records[schema.project_key(project_id)] = record.to_hash()
    for key, project_id in KEYS.items():
        of_key = CredentialRecord(
            kind="key", state="active", project_id=project_id, key_id=key, scopes=frozenset({"usage:write"}),
            limits=limits[COUNTED_AS[key]],
        )  # fmt: skip
        records[schema.credential_key(credential(key).sha256)] = of_key.to_hash()
    for name, record_of in records.items():
        await client.hset(name, mapping=dict[Any, Any](record_of))
    await client.set(schema.KEYS_LOADED, "1")


@dataclass
class Running:
    """A request, as the model knows it: all readings that were made of it, and the greatest that arrived."""

    key: str
    grant: Grant
    made: list[UsageReading] = field(default_factory=list)
    greatest: UsageReading | None = None

    @property
    def audio_ms(self) -> int:
        return 0 if self.greatest is None else self.greatest.audio_ms

    @property
    def ended(self) -> bool:
        return self.greatest is not None and self.greatest.rank is Rank.FINAL

    def next(self, rank: Rank, audio_ms: int) -> UsageReading:
        made = replace(self.grant.reading(rank, len(self.made) + 1), audio_ms=audio_ms)
        self.made.append(made)
        return made

    def arrived(self, reading: UsageReading) -> None:
        if self.greatest is None or reading.order > self.greatest.order:
            self.greatest = reading


class Model:
    """What admission should say, from first principles: sums over all requests."""

    def __init__(self, limits: dict[str, Limits]) -> None:
        self.limits = limits
        self.requests: list[Running] = []

    def of(self, subject: str) -> list[Running]:
        return [one for one in self.requests if subject in subjects(one.key)]

    def used(self, subject: str) -> tuple[int, int]:
        found = [one.audio_ms for one in self.of(subject)]
        return sum(found), sum(cost_micros(audio_ms, PRICE) for audio_ms in found)

    def used_up(self, key: str) -> str:
        for subject in subjects(key):
            limit, (audio_ms, micros) = self.limits[subject], self.used(subject)
            if limit.monthly_audio_ms is not None and audio_ms >= limit.monthly_audio_ms:
                return f"{WHOSE[subject]} quota"
            if limit.monthly_budget_micros is not None and micros >= limit.monthly_budget_micros:
                return f"{WHOSE[subject]} budget"
        return ""

    def full(self, key: str) -> str:
        for subject in subjects(key):
            most = self.limits[subject].concurrent_streams
            if most is not None and sum(not one.ended for one in self.of(subject)) >= most:
                return WHOSE[subject]
        return ""


def limit_sets() -> st.SearchStrategy[dict[str, Limits]]:
    def maybe(most: int) -> st.SearchStrategy[int | None]:
        return st.none() | st.integers(0, most)

    def of(subject: str) -> st.SearchStrategy[Limits]:
        return st.builds(
            Limits,
            counted_as=st.just(subject),
            concurrent_streams=st.none() | st.integers(1, 4),
            monthly_audio_ms=maybe(4000),
            monthly_budget_micros=maybe(2000),
        )

    return st.fixed_dictionaries({subject: of(subject) for subject in SUBJECTS})


STEPS = st.lists(
    st.tuples(st.sampled_from(["admit", "renew", "finish", "again", "lose"]), st.integers(0, 999), st.integers(0, 900)),
    min_size=5,
    max_size=40,
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=limit_sets(), steps=STEPS)
def test_any_order_repetition_and_loss_counts_each_request_once_wherever_it_is_limited(
    redis_server: Any, limits: dict[str, Limits], steps: list[tuple[str, int, int]]
) -> None:
    asyncio.run(_walk(redis_server.url, limits, steps))


async def _walk(url: str, limits: dict[str, Limits], steps: list[tuple[str, int, int]]) -> None:
    model = Model(limits)
    async with RedisLink(url, command_seconds=5) as link, Admission(link, lane="main", max_offline=0) as admission:
        client = link._pool.client
        await client.flushall()
        await load(client, limits)
        for step, pick, audio_ms in steps:
            if step == "admit" or not model.requests:
                await _admit(admission, model, list(KEYS)[pick % len(KEYS)])
                continue
            request = model.requests[pick % len(model.requests)]
            if step == "lose":  # a checkpoint that never arrives
                request.next(Rank.OPEN, request.audio_ms + audio_ms)
            elif step == "renew" and not request.ended:
                await _renew(link, model, request, request.next(Rank.OPEN, request.audio_ms + audio_ms))
            elif step == "finish":
                await _finish(link, request, request.next(Rank.FINAL, request.audio_ms + audio_ms))
            elif step == "again" and request.made:  # late, repeated, out of order
                reading = request.made[audio_ms % len(request.made)]
                if reading.rank is Rank.FINAL:
                    await _finish(link, request, reading)
                elif not request.ended:
                    await _renew(link, model, request, reading)
        await _compare(client, model)


async def _admit(admission: Admission, model: Model, key: str) -> None:
    used_up, full = model.used_up(key), model.full(key)
    refused: errors.ApiError | None = None
    try:
        model.requests.append(Running(key, await _admitted(admission, key)))
    except (errors.PaymentRequired, errors.TooManyRequests) as error:
        refused = error
    expected = errors.PaymentRequired if used_up else errors.TooManyRequests if full else type(None)
    assert type(refused) is expected
    if refused is not None:
        whose, _, what = (used_up or f"{full} concurrent streams").partition(" ")
        assert {"key": "API key", "account": "billing account"}.get(whose, whose) in refused.message
        assert what in refused.message


async def _renew(link: RedisLink, model: Model, request: Running, reading: UsageReading) -> None:
    response = await link.call(*scripts.renew(request.grant, reading, 0, 30_000))
    request.arrived(reading)
    request.grant.counted = response[2]
    assert Verdict(response[0]).value == (model.used_up(request.key) or "ok")


async def _finish(link: RedisLink, request: Running, reading: UsageReading) -> None:
    await link.call(*scripts.finish(request.grant, reading, 0))
    request.arrived(reading)


async def _compare(client: redis.Redis, model: Model) -> None:
    for subject in SUBJECTS:
        limit, (audio_ms, micros) = model.limits[subject], model.used(subject)
        names = await client.keys(f"spent:{subject}:*")
        is_project = WHOSE[subject] == "project"
        counted = limit.monthly_budget_micros is not None or (not is_project and limit != Limits(counted_as=subject))
        assert len(names) == bool(counted and audio_ms)
        if names:
            found = await client.hmget(names[0], "audio_ms", "micros")
            assert [int(figure or 0) for figure in found] == [audio_ms, micros]
        running = sum(not one.ended for one in model.of(subject))
        leased = is_project or limit.concurrent_streams is not None
        assert await client.zcard(schema.leases_key(subject)) == (running if leased else 0)
    spent = await client.hget(schema.spent_key(ACCOUNT), "micros")
    assert int(spent or 0) == model.used(ACCOUNT)[1]


@pytest.fixture
async def admission(redis_url: str) -> AsyncIterator[Admission]:
    async with patient_link(redis_url) as link, Admission(link, lane="main") as found:
        yield found


def unlimited(**limits: Limits) -> dict[str, Limits]:
    return {subject: Limits(counted_as=subject) for subject in SUBJECTS} | limits


@pytest.mark.parametrize(
    ("subject", "keys"), [("key-ab", "ab"), (PROJECTS[0], "ab"), (ACCOUNT, "abc")], ids=["key", "project", "account"]
)
async def test_proxies_that_race_for_the_last_cent_of_a_budget_overspend_by_what_is_in_flight_at_most(
    redis_url: str, redis_client: redis.Redis, subject: str, keys: str
) -> None:
    budget, most = 20_000, 1100
    await load(redis_client, unlimited(**{subject: Limits(counted_as=subject, monthly_budget_micros=budget)}))

    async def race(seed: int) -> int:
        draw, micros = random.Random(seed), 0
        async with patient_link(redis_url) as link, Admission(link, lane="main") as admission:
            while True:
                try:
                    grant = await _admitted(admission, draw.choice(keys))
                except errors.PaymentRequired:
                    return micros
                audio_ms = draw.randrange(900, most)
                await admission.finish(grant, replace(grant.reading(Rank.FINAL, 9), audio_ms=audio_ms))
                micros += cost_micros(audio_ms, PRICE)

    spent = sum(await asyncio.gather(*(race(seed) for seed in range(5))))
    [name] = await redis_client.keys(f"spent:{subject}:*")
    assert await redis_client.hget(name, "micros") == str(spent)
    assert budget <= spent < budget + 5 * cost_micros(most, PRICE)


async def _admitted(admission: Admission, key: str) -> Grant:
    return await admission.admit(credential(key), request_id=new_request_id(), service="streaming", path="/v1/listen")


async def test_a_running_stream_ends_when_its_budget_is_spent_and_each_end_frees_every_place(
    admission: Admission, redis_client: redis.Redis
) -> None:
    narrow = Limits(counted_as="key-ab", concurrent_streams=1, monthly_budget_micros=100)
    whole = Limits(counted_as=ACCOUNT, concurrent_streams=2)
    await load(redis_client, unlimited(**{"key-ab": narrow, ACCOUNT: whole}))
    grant = await _admitted(admission, "a")
    with pytest.raises(errors.TooManyRequests, match="API key's limit of 1 concurrent"):
        await _admitted(admission, "b")
    other = await _admitted(admission, "c")
    checkpoint = replace(grant.reading(Rank.OPEN, 1), audio_ms=200)
    assert admission.outbox.renewed(grant, checkpoint, await admission.outbox.renew(grant, checkpoint)) is (
        Verdict.KEY_BUDGET
    )
    for one in (grant, other):
        await admission.finish(one, replace(one.reading(Rank.FINAL, 2), audio_ms=200))
    assert await redis_client.keys("leases:*") == []
    with pytest.raises(errors.PaymentRequired, match=r"API key's monthly budget is spent: 0\.0001 of 0\.0001 USD"):
        await _admitted(admission, "b")


async def test_an_admission_that_is_taken_back_leaves_no_place_taken(
    admission: Admission, redis_client: redis.Redis
) -> None:
    one_each = {subject: Limits(counted_as=subject, concurrent_streams=1) for subject in SUBJECTS}
    await load(redis_client, one_each)
    grant = await _admitted(admission, "a")
    request = _application(grant)
    assert len(await redis_client.keys("leases:*")) == 3
    await admission.link.call(*scripts.abandon(request, 503))
    assert await redis_client.keys("leases:*") == []


def _application(grant: Grant) -> Application:
    return Application(
        request_id=grant.request_id, started_ms=grant.started_ms, credential_sha256=grant.credential_sha256,
        service=grant.service, lane=grant.lane, path=grant.path, tags=(),
    )  # fmt: skip


async def test_a_token_of_a_key_is_limited_as_the_key(admission: Admission, redis_client: redis.Redis) -> None:
    await load(redis_client, unlimited(**{"key-ab": Limits(counted_as="key-ab", concurrent_streams=1)}))
    token = CredentialRecord(
        kind="token", state="active", project_id=PROJECTS[0], key_id="a", scopes=frozenset({"usage:write"}),
        parent=credential("a").sha256,
    )  # fmt: skip
    name = mint_api_key().sha256
    await redis_client.hset(schema.credential_key(name), mapping=dict[Any, Any](token.to_hash()))
    await admission.admit(Credential(name), request_id=new_request_id(), service="streaming", path="/v1/listen")
    with pytest.raises(errors.TooManyRequests, match="API key's limit"):
        await _admitted(admission, "a")


async def test_where_nothing_is_limited_nothing_more_is_counted(
    admission: Admission, redis_client: redis.Redis
) -> None:
    await load(redis_client, unlimited())
    grant = await _admitted(admission, "a")
    await admission.finish(grant, replace(grant.reading(Rank.FINAL, 1), audio_ms=1000))
    assert grant.rate_limits == ""
    assert names(await redis_client.keys("*")) == ["account", "cred", "keys", "metered", "prices", "project", "spent",
                                                   "usage", "used"]  # fmt: skip
    assert await redis_client.keys("spent:*") == [schema.spent_key(ACCOUNT)]


def names(found: Iterable[Any]) -> list[str]:
    return sorted({str(name).partition(":")[0] for name in found})
