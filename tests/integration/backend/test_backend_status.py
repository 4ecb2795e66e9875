"""The status page over HTTP: runs of the canary become days, operators publish incidents, everybody reads both."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.app import ENDPOINTS
from backend.status.service import KEPT, MOST_UPDATES, STATUS, Forgetting
from tests.integration.conftest import Api, Tenant, make_tenant, sign_in

NOBODY = "0190a5e2-0000-7000-8000-00000000000a"
OPENED = {"title": "Words are late", "impact": "minor", "components": ["stream", "stream"], "message": "We look."}


@pytest.fixture
async def root(api: Api) -> Tenant:
    return await make_tenant(api, "root", operator=True)


async def fresh(api: Api) -> Any:
    """The page as it would be some seconds later."""
    api.client.app[STATUS]._read = None
    return await api.call("GET", "/v1/status")


async def report(api: Api, key: str, *runs: dict[str, Any]) -> int:
    return int((await api.call("POST", "/v1/status/runs", key, {"runs": list(runs)}))["recorded"])


async def test_runs_become_days_and_a_run_that_is_sent_twice_counts_once(api: Api, root: Tenant) -> None:
    assert (await api.call("GET", "/v1/status"))["state"] == "unknown"
    now = int(time.time() * 1000) - 120_000
    good = {"began_ms": now, "stream": True, "upload": True, "usage": True, "first_words_ms": 700, "usage_lag_ms": 900}
    bad = {"began_ms": now + 1000, "stream": False, "upload": True, "usage": None, "first_words_ms": 9000}
    assert await report(api, root.key, good) == 1
    assert await report(api, root.key, good, bad) == 1
    page = await fresh(api)
    stream, upload, usage = page["components"]
    # The reports may be of two days.
    assert (stream["runs"], stream["good"], upload["good"], usage["runs"]) == (2, 0.5, 1.0, 1)
    assert sum(day["runs"] for day in stream["days"][-2:]) == 2
    assert {day["good"] for day in stream["days"][:-2]} == {None}
    assert [page["state"], stream["state"], upload["state"]] == ["operational"] * 3
    measured = {one["objective"]: one["measured"] for one in page["objectives"]}
    assert measured == {"handshakes": 0.5, "first_words": 0.5, "final_lag": None, "usage_lag": 1.0}
    text = str(page)
    assert root.project_id not in text
    assert root.key_id not in text


async def test_what_no_canary_can_have_seen_is_left_out_and_old_runs_are_deleted(api: Api, root: Tenant) -> None:
    now = time.time()
    strange = [now + 3600, now - 26 * 3600, 0.0, 2**53 / 1000]
    assert await report(api, root.key, *({"began_ms": int(at * 1000), "stream": True} for at in strange)) == 0
    async with api.database.connection() as connection:
        for age in (KEPT + timedelta(hours=1), timedelta(days=1)):
            await connection.execute(
                "insert into canary_runs (began, key_id) values ($1, $2)", datetime.now(UTC) - age, root.key_id
            )
        assert await Forgetting(api.database).sweep_now() == 1
        assert await connection.fetchval("select count(*) from canary_runs") == 1


async def test_only_a_key_of_an_operators_project_reports(api: Api, root: Tenant, ann: Tenant) -> None:
    body = {"runs": [{"began_ms": int(time.time() * 1000), "stream": True}]}
    session = await sign_in(api, root.email)
    for credential, status in ((None, 401), (ann.key, 403), (session, 403), (root.key, 200)):
        await api.call("POST", "/v1/status/runs", credential, body, status=status)


async def test_the_page_may_be_cached_and_says_nothing_of_who_looks(api: Api) -> None:
    async with api.client.get("/v1/status") as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "public, max-age=15"
        assert "Set-Cookie" not in response.headers


async def test_an_incident_is_opened_updated_and_resolved_and_then_closed(api: Api, root: Tenant) -> None:
    session = await sign_in(api, root.email)
    made = await api.call("POST", "/v1/operator/incidents", session, OPENED, status=201)
    path = f"/v1/operator/incidents/{made['incident_id']}/updates"
    assert (made["components"], made["resolved"]) == (["stream"], None)
    [shown] = (await api.call("GET", "/v1/status"))["incidents"]
    assert [update["message"] for update in shown["updates"]] == ["We look."]
    assert (await api.call("GET", "/v1/status"))["components"][0]["state"] == "degraded"
    await api.call("POST", path, session, {"state": "identified", "message": "Found."})
    done = await api.call("POST", path, session, {"state": "resolved", "message": "Over."})
    assert done["resolved"] is not None
    assert [update["state"] for update in done["updates"]] == ["resolved", "identified", "investigating"]
    page = await api.call("GET", "/v1/status")
    assert (page["components"][0]["state"], page["incidents"]) == ("unknown", [done])
    await api.call("POST", path, session, {"state": "monitoring", "message": "Again?"}, status=409)
    assert (await api.call("GET", "/v1/operator/incidents", session))["incidents"] == [done]
    missing = f"/v1/operator/incidents/{NOBODY}/updates"
    await api.call("POST", missing, session, {"state": "resolved", "message": "?"}, status=404)


async def test_an_incident_has_a_bound_and_can_be_resolved_there(api: Api, root: Tenant) -> None:
    session = await sign_in(api, root.email)
    incident_id = (await api.call("POST", "/v1/operator/incidents", session, OPENED, status=201))["incident_id"]
    async with api.database.connection() as connection:
        await connection.execute(
            "insert into incident_updates (incident_id, state, message) "
            "select $1, 'monitoring', 'm' from generate_series(1, $2)",
            incident_id,
            MOST_UPDATES - 1,
        )
    path = f"/v1/operator/incidents/{incident_id}/updates"
    await api.call("POST", path, session, {"state": "monitoring", "message": "m"}, status=409)
    await api.call("POST", path, session, {"state": "resolved", "message": "m"})


async def test_nobody_but_operators_publishes(api: Api, ann: Tenant) -> None:
    session = await sign_in(api, ann.email)
    for endpoint in ENDPOINTS:
        if endpoint.path.startswith("/v1/operator/incidents"):
            path = endpoint.path.format(incident_id=NOBODY)
            for credential in (session, ann.key):
                await api.call(endpoint.method, path, credential, OPENED, status=403)
