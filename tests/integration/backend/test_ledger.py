"""The ledger on a real PostgreSQL: balance is grants less charges, to the micro, whatever happens in whatever order."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
import redis.asyncio as redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aldea import errors
from aldea.admission import Admission, Grant
from aldea.credentials import Credential, sha256_hex
from aldea.ids import new_request_id
from aldea.postgres import Database
from aldea.redis.schema import account_key, project_key
from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank, UsageReading
from backend.accounts import repository as accounts
from backend.api.endpoint import SYSTEM
from backend.changes import Changes
from backend.credits import accounts as accounts_in_redis
from backend.credits import repository as credits_of
from backend.credits.expiry import Expiry
from backend.pipeline.charges import reconcile_charges, reconcile_spend
from backend.pipeline.rollups import reconcile
from backend.projects.service import create_project
from backend.replication.mirror import Entry
from backend.schema import roles
from backend.usage import repository as usage
from backend.usage.money import cost_micros
from backend.usage.period import day_of
from backend.usage.rows import Balance
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.conftest import Api, Tenant, make_tenant, settings_for, sign_in
from tests.readings import KEY, delivered, histories
from tests.support.proxies import patient_link

PRICE = 360_000


async def account(database: Database, name: str, projects: int = 2) -> list[str]:
    """A person's projects."""
    async with Changes(database).transaction(SYSTEM) as change:
        user_id = await accounts.insert_user(change.connection, email=name, name=name, password_hash="")
        assert user_id is not None
        change.unmirrored("accounts", "account.create", user_id)
        plan = settings_for("postgresql://u@h/d")
        return [await create_project(change, plan, user_id, f"{name} {n}") for n in range(projects)]


async def balance(database: Database, project_id: str) -> Balance:
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


async def test_a_new_project_of_a_spent_account_is_refused_at_once_and_credit_lets_it_through(
    api: Api, ann: Tenant, redis_client: redis.Redis, redis_url: str
) -> None:
    root = await sign_in(api, (await make_tenant(api, "root", operator=True)).email)
    session = await sign_in(api, ann.email)
    credit = f"/v1/operator/projects/{ann.project_id}/credits/"
    await api.call("PUT", credit + new_request_id(), root, {"amount_micros": 100, "note": "x"})
    _, made = await api.call("POST", "/v1/projects", session, {"name": "another"}, status=None)
    path = f"/v1/projects/{made['project_id']}/keys"
    _, key = await api.call("POST", path, session, {"comment": "x", "scopes": ["usage:write"]}, status=None)
    async with patient_link(redis_url) as link, Admission(link, lane="main") as admission:

        async def admit() -> Grant:
            return await admission.admit(
                Credential(sha256_hex(key["key"])), request_id=new_request_id(), service="streaming", path="/v1/listen"
            )

        grant = await admit()
        await admission.finish(grant, replace(grant.reading(Rank.FINAL, 9), audio_ms=1000))
        with pytest.raises(errors.PaymentRequired, match=r"balance is 0\.00 USD"):
            await admit()
        await api.call("PUT", credit + new_request_id(), root, {"amount_micros": 1, "note": "x"})
        await admit()


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


async def test_an_account_in_redis_is_its_plan_its_ledger_and_how_much_it_may_owe(database: Database) -> None:
    poor, other = await account(database, "ann")
    [later] = await account(database, "eve", 1)
    [untouched] = await account(database, "joe", 1)
    async with database.transaction() as connection:
        for project_id in (poor, other, later):
            await credits_of.insert(connection, project_id, 100, "x")
        locked = await credits_of.lock_plan(connection, later)
        assert locked is not None
        await credits_of.set_plan(connection, locked.account_id, "postpaid")

    async def held(project_id: str) -> Entry:
        async with database.connection() as connection:
            [found] = await accounts_in_redis.entries_of_projects(connection, [project_id])
        return found

    async def fields(project_id: str) -> dict[str, str]:
        return {name: text for name, text in (await held(project_id)).fields.items() if name != "limits"}

    assert await fields(poor) == {"plan": "free", "granted": "200", "owed": "0"}
    assert await held(poor) == await held(other)
    assert await fields(later) == {"plan": "postpaid", "granted": "100", "owed": ""}
    assert await fields(untouched) == {"plan": "free", "granted": "", "owed": "0"}
    # Each entry gives its account another revision: the later record replaces the earlier one.
    before = (await held(poor)).revision
    async with database.transaction() as connection:
        await credits_of.insert(connection, other, -250, "x")
    assert (await held(poor)).fields["granted"] == "-50"
    assert (await held(poor)).revision > before


async def test_prices_in_redis_are_those_that_some_request_may_still_begin_under(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("alter table prices disable trigger prices_begin_later")
        await connection.execute(
            "insert into prices (plan, service, model, micros_per_hour, effective_from, created) values"
            " ('free', 'streaming', null, 1, '2020-01-01', '2019-01-01'),"
            " ('free', 'streaming', null, 2, '2021-01-01', '2020-06-01'),"
            " ('free', 'streaming', 'fast', 3, '2030-01-01', '2020-06-01')"
        )
        [free] = await accounts_in_redis.price_entries(connection, ["free"])
        others = await accounts_in_redis.price_entries(connection, ["prepaid", "postpaid", "gold"])
    # As of the newest price the first two had ended; that there are others does not change what was said before.
    assert free.fields == {
        "streaming": "1609459200000 2",
        "streaming fast": "1893456000000 3",
        "prerecorded": f"0 {PRICE}",
    }
    assert {one.name for one in others} == {"prices:prepaid", "prices:postpaid"}


async def test_a_task_of_the_release_before_grants_and_reads_by_the_ledgers_old_name(database: Database) -> None:
    [project_id] = await account(database, "ann", 1)
    credit_id = new_request_id()
    async with database.connection() as connection:
        # Its statements, as they were, under the rights that its role has.
        await connection.execute(f"set role {roles.BACKEND}")
        for amount in (70, 70):
            await connection.fetchrow(
                "insert into credits (credit_id, project_id, amount_micros, note)"
                " values (coalesce($4, uuidv7()), $1, $2, $3) on conflict (credit_id) do nothing"
                " returning credit_id::text, project_id::text, amount_micros, note, created",
                project_id, amount, "old", credit_id,
            )  # fmt: skip
        total = "select sum(amount_micros) from credits where project_id = $1"
        assert await connection.fetchval(total, project_id) == 70
    assert (await balance(database, project_id)).credit_micros == 70


async def test_redis_knows_of_credit_that_somebody_wrote_into_the_ledger(
    api: Api, ann: Tenant, redis_client: redis.Redis
) -> None:
    async def until(granted: str) -> None:
        async with asyncio.timeout(60):
            while True:
                account_id = await redis_client.hget(project_key(ann.project_id), "account_id")
                if await redis_client.hget(account_key(str(account_id)), "granted") == granted:
                    return
                await asyncio.sleep(0.05)

    await until("")
    async with api.database.connection() as connection:
        await credits_of.insert(connection, ann.project_id, -1, "x")
    await until("-1")


async def test_an_operator_lets_an_account_in_debt_pay_afterwards(
    api: Api, ann: Tenant, bob: Tenant, redis_client: redis.Redis
) -> None:
    root = await sign_in(api, (await make_tenant(api, "root", operator=True)).email)
    path = f"/v1/operator/projects/{ann.project_id}/plan"
    async with api.database.connection() as connection:
        await credits_of.insert(connection, ann.project_id, -300_000_000, "x")

    async def owed() -> object:
        account_id = await redis_client.hget(project_key(ann.project_id), "account_id")
        return await redis_client.hget(account_key(str(account_id)), "owed")

    assert await owed() == "0"
    for _ in range(2):
        # Redis knows before the response.
        response = await api.call("PUT", path, root, {"plan": "postpaid"})
        assert response == {"plan": "postpaid", "credit_limit_micros": None}
        assert await owed() == ""
    limited = {"plan": "postpaid", "credit_limit_micros": 5_000_000}
    assert await api.call("PUT", path, root, limited) == limited
    assert await api.call("GET", path, root) == limited
    assert await owed() == "5000000"
    bad_limits = (-1, 10**12 + 1, 0.5, "5", True)
    for body in (
        {"plan": "gold"}, {"plan": None}, {}, {"plan": "prepaid", "credit_limit_micros": 5},
        *({"plan": "postpaid", "credit_limit_micros": limit} for limit in bad_limits),
    ):  # fmt: skip
        assert "allowed: " in (await api.call("PUT", path, root, body, status=400))["err_msg"]
    for credential in (ann.key, await sign_in(api, ann.email), bob.key):
        await api.call("PUT", path, credential, {"plan": "free"}, status=403)
    await api.call("PUT", path.replace(ann.project_id, new_request_id()), root, {"plan": "free"}, status=404)
    entries = (await api.call("GET", f"/v1/projects/{ann.project_id}/audit", await sign_in(api, ann.email)))["entries"]
    assert [one["detail"] for one in entries if one["action"] == "project.plan"] == [
        {"plan": "postpaid", "before": "postpaid", "credit_limit_micros": 5_000_000},
        {"plan": "postpaid", "before": "free"},
    ]
    prices = (await api.call("GET", f"/v1/projects/{ann.project_id}/prices", ann.key))["prices"]
    assert {one["plan"] for one in prices} == {"postpaid"}
