"""Limits of keys, projects and accounts, from the API to a refusal: nothing that is spent comes back another way."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio as redis

from aldea import errors
from aldea.admission import Admission, Grant
from aldea.credentials import Credential, sha256_hex
from aldea.ids import new_request_id
from aldea.postgres import Database
from aldea.redis.schema import spent_in_month_key
from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank, UsageReading
from backend.key_sync import KeySync
from backend.replication.mirror import Mirror
from backend.replication.mirrored_rows import MirroredRows
from backend.replication.notify import Listener
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.conftest import Api, Tenant, make_tenant, sign_in
from tests.support.proxies import patient_link


class Customer:
    """Ann, who limits what is hers, and admission with her keys."""

    def __init__(self, api: Api, ann: Tenant, database: Database, admission: Admission, *sessions: str) -> None:
        """`sessions`: Ann's, and an operator's."""
        self.api, self.ann, self.database, self.admission = api, ann, database, admission
        self.session, self.root = sessions
        self.path = f"/v1/projects/{ann.project_id}"

    async def make(self, credential: str, status: int = 200, path: str = "", **body: Any) -> Any:
        body = {"comment": "made by a test", "scopes": ["admin"], **body}
        return await self.api.call("POST", f"{path or self.path}/keys", credential, body, status=status)

    async def admit(self, text: str) -> Grant:
        return await self.admission.admit(
            Credential(sha256_hex(text)), request_id=new_request_id(), service="streaming", path="/v1/listen"
        )

    async def use(self, text: str, audio_ms: int) -> UsageReading:
        """A whole request, as Redis and PostgreSQL come to know it."""
        grant = await self.admit(text)
        final = replace(grant.reading(Rank.FINAL, 9), audio_ms=audio_ms)
        await self.admission.finish(grant, final)
        await Writer(self.database).merge(reduce_batch([Stamped(final, 0)]))
        return final

    async def refused(self, text: str, words: str) -> None:
        with pytest.raises((errors.PaymentRequired, errors.TooManyRequests)) as found:
            await self.admit(text)
        assert re.search(words, found.value.message), found.value.message


@pytest.fixture
async def customer(api: Api, ann: Tenant, database: Database, redis_url: str) -> AsyncIterator[Customer]:
    async with patient_link(redis_url) as link, Admission(link, lane="main") as admission:
        root = await sign_in(api, (await make_tenant(api, "root", operator=True)).email)
        credit = f"/v1/operator/projects/{ann.project_id}/credits/{new_request_id()}"
        await api.call("PUT", credit, root, {"amount_micros": 1_000_000, "note": "x"})
        yield Customer(api, ann, database, admission, await sign_in(api, ann.email), root)


async def test_each_limit_of_a_key_refuses_it_alone_and_says_so(customer: Customer) -> None:
    ann = customer.ann
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"monthly_audio_seconds": 1}, r"API key's monthly audio quota.*1 of 1 s"),
        # 0.36 USD an hour: 100 micro-dollars a second.
        ({"monthly_budget_micros": 100}, r"API key's monthly budget.*0\.0001 of 0\.0001 USD"),
    )
    for limit, words in cases:
        key = await customer.make(customer.session, **limit)
        await customer.use(key["key"], 1000)
        await customer.refused(key["key"], words)
        await customer.admit(ann.key)
        # Lifted, it lets the next one through.
        path = f"{customer.path}/keys/{key['api_key_id']}"
        lifted = await customer.api.call("PATCH", path, customer.session, dict.fromkeys(limit))
        assert lifted["propagation"] == "complete"
        await customer.admit(key["key"])
    slow = await customer.make(customer.session, requests_per_minute=1, concurrent_streams=1)
    assert (await customer.admit(slow["key"])).rate_limits.startswith("key 1 0 60 project ")
    await customer.refused(slow["key"], "API key's request rate.* 1 requests a minute")
    narrow = await customer.make(customer.session, concurrent_streams=1)
    grant = await customer.admit(narrow["key"])
    await customer.refused(narrow["key"], "API key's limit of 1 concurrent")
    await customer.admission.finish(grant, grant.reading(Rank.FINAL, 9))
    await customer.admit(narrow["key"])


async def test_what_a_key_has_spent_does_not_come_back_with_another_that_it_makes_or_that_takes_its_place(
    customer: Customer,
) -> None:
    key = await customer.make(customer.session, monthly_audio_seconds=1)
    await customer.use(key["key"], 1000)
    child = await customer.make(key["key"])
    assert (child["limited_as"], child["limits"]) == (key["api_key_id"], key["limits"])
    path = f"{customer.path}/keys/"
    heir = await customer.api.call("POST", f"{path}{key['api_key_id']}/rotate", customer.session, {}, status=201)
    grandchild = await customer.make(child["key"])
    for one in (key, child, heir, grandchild):
        await customer.refused(one["key"], "API key's monthly audio quota")
    # Nor by a limit that it gives itself, or another key that it takes.
    for one in (key, child, heir):
        await customer.api.call("PATCH", path + one["api_key_id"], key["key"], {"monthly_audio_seconds": 9}, status=403)
        await customer.make(one["key"], status=403, monthly_audio_seconds=9)
    await customer.api.call("PATCH", f"{customer.path}/limits", key["key"], {"monthly_audio_seconds": 9}, status=403)
    [own] = [one for one in await keys(customer) if one["comment"] == "all"]
    await customer.api.call("POST", f"{path}{own['api_key_id']}/rotate", key["key"], {}, status=403)
    # Whoever signs in changes it for all of them.
    await customer.api.call("PATCH", path + grandchild["api_key_id"], customer.session, {"monthly_audio_seconds": 9})
    for one in (key, child, heir, grandchild):
        await customer.admit(one["key"])


async def keys(customer: Customer) -> list[Any]:
    found = await customer.api.call("GET", f"{customer.path}/keys", customer.session)
    return [one["api_key"] for one in found["api_keys"]]


async def test_an_owner_limits_a_project_at_or_below_its_plan(customer: Customer) -> None:
    ann, path = customer.ann, f"{customer.path}/limits"
    plan = (await customer.api.call("GET", path, customer.session))["plan"]
    above = {"requests_per_minute": plan["requests_per_minute"] + 1}
    refused = await customer.api.call("PATCH", path, customer.session, above, status=400)
    assert f"allowed: up to the plan's {plan['requests_per_minute']}" in refused["err_msg"]
    await customer.api.call("PATCH", path, customer.session, {"monthly_budget_micros": 100, "concurrent_streams": 2})
    await customer.use(ann.key, 1000)
    await customer.refused(ann.key, r"project's monthly budget is spent: 0\.0001 of 0\.0001 USD")
    found = await customer.api.call("GET", path, customer.session)
    assert (found["concurrent_streams"], found["plan"]) == (2, plan)
    assert found["own"] == {
        "requests_per_minute": None, "concurrent_streams": 2, "monthly_audio_seconds": None,
        "monthly_budget_micros": 100,
    }  # fmt: skip
    assert (found["used"]["month_charge_micros"], found["used"]["month_audio_seconds"]) == (100, 1.0)
    await customer.api.call("PATCH", path, customer.session, {"monthly_budget_micros": None})
    held = [await customer.admit(ann.key) for _ in range(2)]
    await customer.refused(ann.key, "project's limit of 2 concurrent")
    assert len(held) == 2


async def test_a_quota_that_is_spent_does_not_come_back_with_another_project(customer: Customer) -> None:
    path = f"/v1/operator/projects/{customer.ann.project_id}"
    plan = (await customer.api.call("GET", f"{path}/limits", customer.root))["plan"]
    account = (await customer.api.call("GET", f"{path}/limits", customer.root))["account"]
    # As much as its first project, however many follow.
    assert account["monthly_audio_seconds"] == plan["monthly_audio_seconds"]
    await customer.api.call("PATCH", f"{path}/account/limits", customer.root, {"monthly_audio_seconds": 2})
    await customer.use(customer.ann.key, 1000)
    for number in range(2):
        made = await customer.api.call("POST", "/v1/projects", customer.session, {"name": f"{number}"}, status=201)
        key = await customer.make(customer.session, path=f"/v1/projects/{made['project_id']}")
        if number == 0:
            await customer.use(key["key"], 1000)
        await customer.refused(key["key"], r"billing account's monthly audio quota.*2 of 2 s")
    await customer.refused(customer.ann.key, "billing account's monthly audio quota")
    await customer.api.call(
        "PATCH", f"{path}/account/limits", customer.root, {"monthly_audio_seconds": None, "concurrent_streams": 1}
    )
    grant = await customer.admit(key["key"])
    await customer.refused(customer.ann.key, "billing account's limit of 1 concurrent")
    await customer.admission.finish(grant, grant.reading(Rank.FINAL, 9))
    await customer.api.call(
        "PATCH", f"{path}/account/limits", customer.root, {"concurrent_streams": None, "requests_per_minute": 1}
    )
    await customer.admit(key["key"])
    await customer.refused(customer.ann.key, "billing account's request rate")


async def test_a_limit_that_comes_later_counts_what_was_used_before(
    customer: Customer, redis_client: redis.Redis, redis_url: str
) -> None:
    key = await customer.make(customer.session)
    await customer.use(key["key"], 5000)
    await customer.api.call(
        "PATCH", f"{customer.path}/keys/{key['api_key_id']}", customer.session, {"monthly_audio_seconds": 6}
    )
    async with patient_link(redis_url) as link:
        mirror = Mirror(link, MirroredRows(customer.database))
        await KeySync(customer.database, link, mirror, Listener(customer.database, lambda: None)).reconcile()
    [counted] = await redis_client.keys(spent_in_month_key(key["api_key_id"], "*"))
    assert await redis_client.hget(counted, "audio_ms") == "5000"
    await customer.use(key["key"], 1000)
    await customer.refused(key["key"], r"6 of 6 s")
    async with customer.database.connection() as connection:
        [row] = await connection.fetch("select * from monthly_limits where subject = 'key'")
    assert (str(row["subject_id"]), row["audio_limit_ms"], row["audio_ms"]) == (key["api_key_id"], 6000, 6000)
    assert (row["budget_micros"], row["charge_micros"]) == (None, 600)


@pytest.mark.parametrize(
    "bad",
    [{"monthly_budget_micros": -1}, {"monthly_budget_micros": 0.5}, {"monthly_budget_micros": 10**30},
     {"requests_per_minute": 0}, {"concurrent_streams": "many"}, {"monthly_audio_seconds": 1e300}],
    ids=str,
)  # fmt: skip
async def test_limits_that_make_no_sense_are_refused_and_nothing_changes(
    customer: Customer, bad: dict[str, Any]
) -> None:
    before = await keys(customer)
    paths = [f"{customer.path}/limits", f"{customer.path}/keys/{before[0]['api_key_id']}",
             f"/v1/operator/projects/{customer.ann.project_id}/account/limits"]  # fmt: skip
    for path in paths:
        refused = await customer.api.call(
            "PATCH", path, customer.root if "operator" in path else customer.session, bad, status=400
        )
        assert "allowed: " in refused["err_msg"], refused
    await customer.make(customer.session, status=400, **bad)
    assert await keys(customer) == before
