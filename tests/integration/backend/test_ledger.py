"""The ledger on a real PostgreSQL: balance is grants less charges, to the micro, whatever happens in whatever order."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import redis.asyncio as redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aldea.ids import new_request_id
from aldea.postgres import Database
from aldea.redis.schema import project_key
from aldea.usage.envelope import Stamped
from aldea.usage.reading import UsageReading
from backend.accounts import repository as accounts
from backend.api.endpoint import SYSTEM
from backend.changes import Changes
from backend.credits import repository as credits_of
from backend.credits.enforcement import Enforcement
from backend.credits.expiry import Expiry
from backend.pipeline.charges import reconcile_charges, reconcile_spend
from backend.pipeline.rollups import reconcile
from backend.projects.service import create_project
from backend.usage import repository as usage
from backend.usage.money import cost_micros
from backend.usage.period import day_of
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.conftest import Api, Tenant, make_tenant, settings_for, sign_in
from tests.readings import KEY, delivered, histories

PRICE = 360_000


async def account(database: Database, name: str, projects: int = 2) -> list[str]:
    """A person's projects."""
    async with Changes(database).transaction(SYSTEM) as change:
        user_id = await accounts.insert_user(change.connection, email=name, name=name, password_hash="")
        assert user_id is not None
        change.unmirrored("accounts", "account.create", user_id)
        plan = settings_for("postgresql://u@h/d")
        return [await create_project(change, plan, user_id, f"{name} {n}") for n in range(projects)]


async def balance(database: Database, project_id: str) -> usage.Balance:
    async with database.connection() as connection:
        return await usage.balance(connection, project_id)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    written=histories(),
    granted=st.lists(st.tuples(st.integers(-5000, 5000).filter(bool), st.booleans()), max_size=6),
    rng=st.randoms(use_true_random=False),
)
async def test_any_order_repetition_and_loss_of_readings_and_credits_is_the_same_balance(
    database: Database, written: list[list[UsageReading]], granted: list[tuple[int, bool]], rng: random.Random
) -> None:
    projects = await account(database, new_request_id())
    of = {one[0].request_id: rng.choice(projects) for one in written}
    sent: list[Any] = [[_of(one, of[one.request_id])] for one in delivered(written, rng)]
    ids = {new_request_id(): (amount, rng.choice(projects)) for amount, _ in granted}
    again = [one for one, (_, repeated) in zip(ids, granted, strict=True) if repeated]
    sent += [*ids, *again]
    rng.shuffle(sent)
    for one in sent:
        if isinstance(one, str):
            amount, project_id = ids[one]
            async with database.transaction() as connection:
                await credits_of.insert(connection, project_id, amount, "test", one)
        else:
            await Writer(database).merge(reduce_batch(Stamped(reading, 0) for reading in one))
    spent = sum(cost_micros(final.audio_ms, PRICE) for *_, final in written)
    credit = sum(amount for amount, _ in ids.values())
    for project_id in projects:
        found = await balance(database, project_id)
        assert (found.credit_micros, found.spent_micros) == (credit, spent)
    assert await reconcile_spend(database, repair=False) == []


def _of(one: UsageReading, project_id: str) -> UsageReading:
    return UsageReading(**{**{name: getattr(one, name) for name in one.__slots__}, "project_id": project_id})


async def test_writers_that_race_over_one_account_leave_its_spend_the_sum_of_its_charges(database: Database) -> None:
    projects = await account(database, "ann")
    draw = random.Random(5)
    ids = [(new_request_id(), draw.choice(projects)) for _ in range(60)]

    async def write(seed: int) -> None:
        mine = random.Random(seed)
        for seq in mine.sample(range(1, 9), 8):
            batch = [_reading(one, project_id, seq=seq, audio_ms=seq * 777) for one, project_id in ids]
            await Writer(database).merge(reduce_batch(Stamped(one, 0) for one in batch))

    await asyncio.gather(*(write(seed) for seed in range(3)))
    found = await balance(database, projects[0])
    assert found.spent_micros == len(ids) * cost_micros(8 * 777, PRICE)
    day = datetime.now(UTC).date()
    assert await reconcile_charges(database, day) == []
    assert await reconcile(database, day) == []
    assert await reconcile_spend(database) == []


def _reading(request_id: str, project_id: str, **figures: Any) -> UsageReading:
    common: Any = {"key_id": KEY, "service": "streaming", "lane": "l", "path": "/v1/listen", "rank": 0}
    started_ms = int(datetime.now(UTC).timestamp() * 1000)
    return UsageReading(request_id=request_id, project_id=project_id, started_ms=started_ms, **common, **figures)


async def test_a_spend_that_somebody_changed_is_named_and_repaired(database: Database) -> None:
    [project_id] = await account(database, "ann", 1)
    await Writer(database).merge([_reading(new_request_id(), project_id, seq=1, audio_ms=1000)])
    async with database.connection() as connection:
        await connection.execute("update account_spend set spent_micros = 7")
    [wrong] = await reconcile_spend(database)
    assert (wrong.stored, wrong.recomputed) == (7, 100)
    assert await reconcile_spend(database) == []


async def test_a_wrong_charge_is_repaired_with_what_its_account_has_spent(database: Database) -> None:
    [project_id] = await account(database, "ann", 1)
    one = _reading(new_request_id(), project_id, seq=1, audio_ms=1000)
    await Writer(database).merge([one])
    async with database.connection() as connection:
        # As if a release without prices had written it.
        for table in ("usage_requests", "usage_daily"):
            await connection.execute(f"update {table} set charge_micros = 0")
        await connection.execute("delete from account_spend")
    assert len(await reconcile_charges(database, day_of(one.started_ms))) == 1
    assert (await balance(database, project_id)).spent_micros == 100
    assert await reconcile_spend(database) == []


async def test_what_is_left_of_a_grant_that_ends_is_taken_back_once(database: Database) -> None:
    [project_id] = await account(database, "ann", 1)
    soon = datetime.now(UTC) - timedelta(minutes=30)
    async with database.transaction() as connection:
        await credits_of.insert(connection, project_id, 1000, "for ever")
        await credits_of.insert(connection, project_id, 500, "ends", expires=soon)
        await credits_of.insert(connection, project_id, 300, "ends later", expires=soon + timedelta(days=9))
    await Writer(database).merge([_reading(new_request_id(), project_id, seq=1, audio_ms=2000)])
    # From several backends at once.
    await asyncio.gather(*(Expiry(database).sweep() for _ in range(4)))
    found = await balance(database, project_id)
    assert (found.credit_micros, found.spent_micros, found.amount_micros) == (1500, 200, 1300)
    await Writer(database).merge([_reading(new_request_id(), project_id, seq=1, audio_ms=3000)])
    assert await Expiry(database).sweep() == 0
    assert (await balance(database, project_id)).amount_micros == 1000


async def test_the_ledger_changes_and_removes_nothing(database: Database) -> None:
    [project_id] = await account(database, "ann", 1)
    async with database.transaction() as connection:
        await credits_of.insert(connection, project_id, 1000, "x")
    for statement in (
        "update ledger_entries set amount_micros = 1", "delete from ledger_entries", "truncate ledger_entries",
    ):  # fmt: skip
        async with database.connection() as connection:
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute(statement)


async def test_a_new_project_shares_its_owners_balance_and_brings_no_credit(api: Api) -> None:
    body = {"email": "new@example.com", "password": "a long and winding password", "name": "New"}
    await api.call("POST", "/v1/accounts", None, body, status=201)
    signed = await api.call(
        "POST", "/v1/sessions", None, {"email": body["email"], "password": body["password"]}, status=201
    )
    session = signed["session_token"]
    [first] = (await api.call("GET", "/v1/projects", session))["projects"]
    made = await api.call("POST", "/v1/projects", session, {"name": "second"}, status=None)
    second = made[1]["project_id"]
    await Writer(api.database).merge([_reading(new_request_id(), first["project_id"], seq=1, audio_ms=1000)])
    for project_id in (first["project_id"], second):
        [found] = (await api.call("GET", f"/v1/projects/{project_id}/balances", session))["balances"]
        assert (found["credit_micros"], found["spent_micros"]) == (200_000_000, 100)
    # Deleting it and making others resets nothing.
    await api.call("DELETE", f"/v1/projects/{first['project_id']}", session)
    _, third = await api.call("POST", "/v1/projects", session, {"name": "third"}, status=None)
    [found] = (await api.call("GET", f"/v1/projects/{third['project_id']}/balances", session))["balances"]
    assert found["amount_micros"] == 200_000_000 - 100


async def test_credits_that_make_no_sense_are_refused_and_nothing_is_booked(api: Api, ann: Tenant) -> None:
    root = await sign_in(api, (await make_tenant(api, "root", operator=True)).email)
    path = f"/v1/operator/projects/{ann.project_id}/credits"
    later = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    bad: list[dict[str, Any]] = [
        {"amount_micros": -5, "kind": "grant"}, {"amount_micros": -5, "kind": "refund"},
        {"amount_micros": 5, "kind": "expiry"}, {"amount_micros": 5, "kind": "gift"},
        {"amount_micros": -5, "expires": later}, {"amount_micros": 5, "kind": "refund", "expires": later},
        {"amount_micros": 5, "expires": "2020-01-01"}, {"amount_micros": 5, "expires": "2150-01-01"},
        {"amount_micros": 5, "expires": "never"}, {"amount_micros": 0.5}, {"amount_micros": 10**30},
    ]  # fmt: skip
    for body in bad:
        refused = await api.call("PUT", f"{path}/{new_request_id()}", root, {"note": "x", **body}, status=400)
        assert "allowed: " in refused["err_msg"], refused
    assert (await api.call("GET", path, root))["credits"] == []
    good = {"amount_micros": 5, "note": "x", "expires": later}
    made = await api.call("PUT", f"{path}/{new_request_id()}", root, good)
    assert (made["kind"], datetime.fromisoformat(made["expires"])) == ("grant", datetime.fromisoformat(later))
    back = {"amount_micros": 7, "note": "x", "kind": "refund"}
    assert (await api.call("PUT", f"{path}/{new_request_id()}", root, back))["kind"] == "refund"
    taken = await api.call("PUT", f"{path}/{new_request_id()}", root, {"amount_micros": -3, "note": "x"})
    assert taken["kind"] == "adjustment"
    assert (await api.call("GET", path, root))["amount_micros"] == 9


async def spent_up(database: Database) -> dict[str, bool]:
    """By project, whether its account can pay no more."""
    async with database.connection() as connection:
        rows = await connection.fetch("select project_id::text, balance_spent from projects where deleted is null")
    return {row["project_id"]: row["balance_spent"] for row in rows}


async def test_a_spent_balance_refuses_every_project_of_its_account_until_credit_is_added(database: Database) -> None:
    poor, other = await account(database, "ann")
    [rich] = await account(database, "bob", 1)
    [later] = await account(database, "eve", 1)
    [untouched] = await account(database, "joe", 1)
    async with database.transaction() as connection:
        for project_id in (poor, rich, later):
            await credits_of.insert(connection, project_id, 100, "x")
        await connection.execute(
            "update billing_accounts set plan = 'postpaid' from projects"
            " where projects.account_id = billing_accounts.account_id and project_id = $1",
            later,
        )
    enforcement = Enforcement(database)
    assert await enforcement.sweep() == 0
    for project_id, audio_ms in ((poor, 1000), (rich, 989), (later, 90_000)):
        await Writer(database).merge([_reading(new_request_id(), project_id, seq=1, audio_ms=audio_ms - 10)])
        await Writer(database).merge([_reading(new_request_id(), project_id, seq=1, audio_ms=10)])
    assert sum(await asyncio.gather(*(enforcement.sweep() for _ in range(3)))) == 2
    left = [(await balance(database, one)).amount_micros for one in (poor, rich, later, untouched)]
    assert left == [0, 1, -8900, 0]
    assert await spent_up(database) == {poor: True, other: True, rich: False, later: False, untouched: False}
    async with database.transaction() as connection:
        await credits_of.insert(connection, other, 1, "x")
    assert await enforcement.sweep() == 2
    assert not (await spent_up(database))[poor]


async def test_a_new_project_of_a_spent_account_is_refused_too(database: Database) -> None:
    plan = settings_for("postgresql://u@h/d")
    async with Changes(database).transaction(SYSTEM) as change:
        user_id = await accounts.insert_user(change.connection, email="ann", name="ann", password_hash="")
        assert user_id is not None
        change.unmirrored("accounts", "account.create", user_id)
        first = await create_project(change, plan, user_id, "first")
    async with database.connection() as connection:
        await credits_of.insert(connection, first, -1, "x")
    await Enforcement(database).sweep()
    async with Changes(database).transaction(SYSTEM) as change:
        second = await create_project(change, plan, user_id, "second")
    assert (await spent_up(database)) == {first: True, second: True}


async def test_redis_knows_of_a_spent_balance_and_of_credit_by_itself(
    api: Api, ann: Tenant, redis_client: redis.Redis
) -> None:
    async def until(spent: str) -> None:
        async with asyncio.timeout(60):
            while await redis_client.hget(project_key(ann.project_id), "balance") != spent:
                await asyncio.sleep(0.05)

    await until("")
    async with api.database.connection() as connection:
        await credits_of.insert(connection, ann.project_id, -1, "x")
    await until("spent")
    async with api.database.connection() as connection:
        await credits_of.insert(connection, ann.project_id, 2, "x")
    await until("")


async def test_an_operator_lets_an_account_in_debt_pay_afterwards(
    api: Api, ann: Tenant, bob: Tenant, redis_client: redis.Redis
) -> None:
    root = await sign_in(api, (await make_tenant(api, "root", operator=True)).email)
    path = f"/v1/operator/projects/{ann.project_id}/plan"
    async with api.database.connection() as connection:
        await credits_of.insert(connection, ann.project_id, -300_000_000, "x")

    async def until(spent: str) -> None:
        async with asyncio.timeout(60):
            while await redis_client.hget(project_key(ann.project_id), "balance") != spent:
                await asyncio.sleep(0.05)

    await until("spent")
    for _ in range(2):
        assert await api.call("PUT", path, root, {"plan": "postpaid"}) == {"plan": "postpaid"}
    await until("")
    for body in ({"plan": "gold"}, {"plan": None}, {}):
        assert "allowed: " in (await api.call("PUT", path, root, body, status=400))["err_msg"]
    for credential in (ann.key, await sign_in(api, ann.email), bob.key):
        await api.call("PUT", path, credential, {"plan": "free"}, status=403)
    await api.call("PUT", path.replace(ann.project_id, new_request_id()), root, {"plan": "free"}, status=404)
    entries = (await api.call("GET", f"/v1/projects/{ann.project_id}/audit", await sign_in(api, ann.email)))["entries"]
    assert [one["detail"] for one in entries if one["action"] == "project.plan"] == [
        {"plan": "postpaid", "before": "free"}
    ]
    prices = (await api.call("GET", f"/v1/projects/{ann.project_id}/prices", ann.key))["prices"]
    assert {one["plan"] for one in prices} == {"postpaid"}
