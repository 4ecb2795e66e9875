"""Usage over HTTP, out of a real PostgreSQL that sqs_updater's writer filled: lists, sums, filters, paging."""

import csv
import io
import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from aldea import speech_model
from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank, UsageReading
from backend.api.access import SCOPES
from backend.credits import repository as credits_of
from backend.usage import service
from backend.usage.period import DAY_MS, start_of
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.conftest import Api, Tenant, sign_in
from tests.readings import reading

OTHER_KEY = "018f0000-0000-7000-8000-00000000000b"
TODAY_MS = 0


@pytest.fixture(autouse=True)
def this_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of the test itself: tests are collected long before the last of them runs, perhaps on another day."""
    monkeypatch.setitem(globals(), "TODAY_MS", start_of(datetime.now(UTC).date()))


def today(minus: int = 0) -> str:
    return (datetime.fromtimestamp(TODAY_MS / 1000, UTC).date() - timedelta(days=minus)).isoformat()


async def write(api: Api, *readings: UsageReading) -> None:
    await Writer(api.database).merge(reduce_batch(Stamped(one, 0) for one in readings))


def of(tenant: Tenant, **changes: Any) -> UsageReading:
    """An ended stream of the tenant, begun at the first millisecond of today by default."""
    values = {
        "project_id": tenant.project_id, "key_id": tenant.key_id, "started_ms": TODAY_MS, "rank": Rank.FINAL, "seq": 3,
        "audio_ms": 1500, "connection_ms": 2000, "status": 101, "close_code": 1000, **changes,
    }  # fmt: skip
    return reading(**values)


async def get(api: Api, tenant: Tenant, path: str, status: int | None = 200) -> Any:
    return await api.call("GET", f"/v1/projects/{tenant.project_id}{path}", tenant.key, status=status)


async def listed(api: Api, tenant: Tenant, query: str = "") -> list[str]:
    return [row["request_id"] for row in (await get(api, tenant, f"/requests?limit=1000&{query}"))["requests"]]


async def test_requests_are_listed_newest_first_and_each_can_be_looked_at(api: Api, ann: Tenant) -> None:
    first = of(ann, started_ms=TODAY_MS, tags=("prod",), bytes_in=7, bytes_out=8, channels=2, failovers=1)
    second = of(ann, started_ms=TODAY_MS + 1, rank=Rank.OPEN, close_code=None)
    await write(api, first, second)
    assert await listed(api, ann) == [first.request_id]
    page = await get(api, ann, "/requests?running=true")
    assert (page["page"], page["limit"], page["next_page_token"]) == (0, 10, None)
    assert [row["request_id"] for row in page["requests"]] == [second.request_id, first.request_id]
    assert [row["state"] for row in page["requests"]] == ["open", "final"]
    row = page["requests"][1]
    assert (row["project_uuid"], row["api_key_id"]) == (ann.project_id, ann.key_id)
    assert (row["audio_ms"], row["channels"], row["tags"], row["bytes_out"]) == (1500, 2, ["prod"], 8)
    assert row["failovers"] == 1
    # The same at the top and in `request`: clients read either.
    assert await get(api, ann, f"/requests/{first.request_id}") == {**row, "request": row}


async def test_nothing_of_another_project_is_shown(api: Api, ann: Tenant, bob: Tenant) -> None:
    theirs = of(bob)
    await write(api, theirs)
    assert await listed(api, ann) == []
    assert (await get(api, ann, f"/requests/{theirs.request_id}", 404))["err_code"] == "NOT_FOUND"
    assert await listed(api, ann, f"request_id={theirs.request_id}&key={bob.key_id}") == []
    assert (await get(api, ann, "/usage"))["total"]["requests"] == 0
    assert (await get(api, ann, "/usage/breakdown?grouping=tag"))["results"] == []


async def test_every_filter_leaves_what_it_says(api: Api, ann: Tenant) -> None:
    kinds = {
        "plain": of(ann),
        "key": of(ann, key_id=OTHER_KEY),
        "tag": of(ann, tags=("a b", "prod")),
        "pcm": of(ann, path="/listen/v1/pcm"),
        "file": of(ann, path="/transcribe/x", service="prerecorded", status=200, close_code=None),
        "refused": of(ann, service="prerecorded", status=502, close_code=None),
        "broken": of(ann, close_code=1011),
        "lost": of(ann, rank=Rank.INCOMPLETE, close_code=None),
        "long": of(ann, audio_ms=5_000_000),
        "open": of(ann, rank=Rank.OPEN, close_code=None),
    }
    await write(api, *kinds.values())
    names = {one.request_id: name for name, one in kinds.items()}

    async def found(query: str) -> set[str]:
        return {names[request_id] for request_id in await listed(api, ann, query)}

    assert await found("") == set(kinds) - {"open"}
    assert await found("running=true") == set(kinds)
    assert await found(f"key={OTHER_KEY}") == await found(f"accessor={OTHER_KEY}") == {"key"}
    assert await found("tag=prod") == await found("tag=a%20b") == {"tag"}
    assert await found("endpoint=/v1/listen/pcm") == {"pcm"}
    assert await found("endpoint=listen") == set(kinds) - {"file", "open"}
    assert await found("service=prerecorded") == await found("method=sync") == {"file", "refused"}
    assert await found("status=failed") == {"refused", "broken"}
    assert await found("status=succeeded") == set(kinds) - {"refused", "broken", "open", "lost"}
    assert await found("status=open") == {"open"}
    assert await found("status=incomplete") == {"lost"}
    assert await found("min_audio_seconds=1.5&max_audio_seconds=1.5") == set(kinds) - {"long", "open"}
    assert await found("min_audio_seconds=1.5001") == {"long"}
    assert await found("max_audio_seconds=1.4999") == set()
    assert await found(f"request_id={kinds['pcm'].request_id}") == {"pcm"}
    for query in ("status=failed", "min_audio_seconds=1.501", f"request_id={kinds['pcm'].request_id}"):
        same = {names[row["request_id"]] for row in await export(api, ann, query)}
        assert same == {names[row["request_id"]] for row in await exported(api, ann, query)} == await found(query)
    assert await found("service=prerecorded&status=failed&tag=prod") == set()


async def test_models_and_features_are_filters_and_groups(api: Api, ann: Tenant) -> None:
    kinds = {
        "old": of(ann, audio_ms=1),
        "live": of(ann, audio_ms=2, model="nova-3", features=("diarize", "smart_format")),
        "file": of(ann, audio_ms=4, model="nova-3", features=("redact",), service="prerecorded", close_code=None),
        "kept": of(ann, audio_ms=8, model="base", features=("callback",), service="prerecorded", close_code=None),
    }
    await write(api, *kinds.values())

    async def found(query: str) -> int:
        """The milliseconds of audio, each bit of which is one of the kinds."""
        audio_ms: int = (await get(api, ann, f"/usage?{query}"))["total"]["audio_ms"]
        listed = (await get(api, ann, f"/requests?{query}"))["requests"]
        assert sum(row["audio_ms"] for row in listed) == audio_ms
        assert (await get(api, ann, f"/usage/breakdown?grouping=day&{query}"))["total"]["audio_ms"] == audio_ms
        return audio_ms

    assert await found("model=nova-3") == 6
    assert await found(f"model={speech_model.UUID}") == await found("deployment=hosted&version=false") == 15
    assert await found("model=none") == await found("deployment=beta") == await found("endpoint=speak") == 0
    # Any of those that are true, none of those that are false.
    assert await found("diarize=true&redact=true") == 6
    assert await found("diarize=false&redact=false") == 9
    assert await found("topics=true") == 0
    assert await found("method=sync") == 4
    assert await found("method=async") == 8
    assert await found("method=streaming") == 3

    async def groups(grouping: str) -> dict[str, int]:
        rows = (await get(api, ann, f"/usage/breakdown?grouping={grouping}"))["results"]
        return {str(row["grouping"][grouping]): row["audio_ms"] for row in rows}

    assert await groups("models") == {"[]": 1, "['nova-3']": 6, "['base']": 8}
    assert await groups("feature_set") == {"": 1, "diarize,smart_format": 2, "redact": 4, "callback": 8}
    assert await groups("method") == {"streaming": 3, "sync": 4, "async": 8}
    assert await groups("deployment") == {"hosted": 15}
    fields = await get(api, ann, "/usage/fields")
    assert fields["features"] == ["callback", "diarize", "redact", "smart_format"]
    assert fields["models"][0]["model_id"] == speech_model.UUID


async def test_a_bill_is_broken_down_to_the_same_total(api: Api, ann: Tenant) -> None:
    hour = 3_600_000
    await write(
        api, of(ann, audio_ms=hour, tags=("prod",)), of(ann, audio_ms=2 * hour, service="prerecorded", key_id=OTHER_KEY)
    )

    async def bill(query: str) -> dict[str, float]:
        rows = (await get(api, ann, f"/billing/breakdown?{query}"))["results"]
        return {str(next((v for k, v in row["grouping"].items() if v and k not in {"start", "end"}), "")):
                row["dollars"] for row in rows}  # fmt: skip

    assert await bill("") == {"": 1.08}
    assert await bill("grouping=line_item") == {"streaming": 0.36, "prerecorded": 0.72}
    assert await bill("grouping=accessor") == {ann.key_id: 0.36, OTHER_KEY: 0.72}
    assert await bill("grouping=deployment&line_item=streaming") == {"hosted": 0.36}
    assert await bill("grouping=tags&tag=prod") == {"['prod']": 0.36}
    assert await bill("line_item=nova-3") == await bill("deployment=beta") == {}
    assert (await get(api, ann, "/billing/fields"))["line_items"] == {
        "streaming": "Live streams", "prerecorded": "Recorded audio"
    }  # fmt: skip


async def test_the_credential_of_a_request_is_described(api: Api, ann: Tenant) -> None:
    key = await api.call("GET", "/v1/auth/token", ann.key)
    assert (key["kind"], key["api_key_id"], key["member_id"], key["project_id"]) == (
        "key", ann.key_id, ann.user_id, ann.project_id,
    )  # fmt: skip
    assert set(key["scopes"]) == SCOPES
    session = await api.call("GET", "/v1/auth/token", await sign_in(api, ann.email))
    assert (session["kind"], session["api_key_id"], session["project_id"]) == ("session", None, ann.project_id)
    await api.call("GET", "/v1/auth/token", None, status=401)


async def test_a_stream_that_was_closed_for_an_error_has_failed(api: Api, ann: Tenant) -> None:
    broken = [of(ann, close_code=code) for code in (1002, 1003, 1007, 1008, 1009, 1011)]
    await write(api, *broken, *(of(ann, close_code=good) for good in (1000, 1001, 1005, 1006, 1012)))
    assert set(await listed(api, ann, "status=failed")) == {one.request_id for one in broken}


async def test_days_are_utc_days_to_the_millisecond(api: Api, ann: Tenant) -> None:
    first, last, next_day = (of(ann, started_ms=ms) for ms in (TODAY_MS - DAY_MS, TODAY_MS - 1, TODAY_MS))
    await write(api, first, last, next_day)
    yesterday = f"start={today(1)}&end={today(1)}"
    assert await listed(api, ann, yesterday) == [last.request_id, first.request_id]
    exact = f"start={today(1)}T00:00:00.001Z&end={today()}T00:00:00Z"
    assert await listed(api, ann, exact) == [last.request_id]
    # A "+" that a client did not write as %2B.
    zoned = f"start={today(1)}T05:30:00.001+05:30&end={today()}T05:30:00+0530"
    assert await listed(api, ann, zoned) == [last.request_id]
    wrong = await get(api, ann, f"/requests?start={today(1)}T00:00:00+5&tag=", 400)
    assert wrong["err_msg"].startswith("Unusable parameters: tag: got an empty text; allowed: at least 1 character. ")
    assert f"start: got '{today(1)}T00:00:00 5'; allowed: YYYY-MM-DD, or " in wrong["err_msg"]
    assert "%2B" in wrong["err_msg"]
    by_day = await get(api, ann, f"/usage?{yesterday}")
    assert by_day["results"] == [
        {"start": today(1), "end": today(1), "hours": 3000 / 3_600_000, "total_hours": 3000 / 3_600_000,
         "requests": 2, "audio_ms": 3000, "charge_micros": 300,
         "tokens": {"in": 0, "out": 0}, "tts": {"characters": 0, "requests": 0}}
    ]  # fmt: skip


async def test_pages_by_token_show_every_request_once_while_others_arrive(api: Api, ann: Tenant) -> None:
    # Several begin in the same millisecond: the id decides between them.
    kept = [of(ann, started_ms=TODAY_MS + n // 3) for n in range(25)]
    await write(api, *kept)
    seen: list[str] = []
    query = "/requests?limit=4"
    while True:
        page = await get(api, ann, query)
        seen += [row["request_id"] for row in page["requests"]]
        assert len(page["requests"]) == 4 or page["next_page_token"] is None
        if page["next_page_token"] is None:
            break
        await write(api, of(ann, started_ms=TODAY_MS + 1000 + len(seen)))
        query = f"/requests?limit=4&page_token={page['next_page_token']}"
    assert len(seen) == len(set(seen))
    assert seen == [
        one.request_id for one in sorted(kept, key=lambda one: (one.started_ms, one.request_id), reverse=True)
    ]


async def test_pages_by_number_are_there_too(api: Api, ann: Tenant) -> None:
    await write(api, *(of(ann, started_ms=TODAY_MS + n) for n in range(7)))
    everything = await listed(api, ann)
    pages = [await get(api, ann, f"/requests?limit=3&page={n}") for n in range(4)]
    assert [row["request_id"] for page in pages for row in page["requests"]] == everything
    assert [len(page["requests"]) for page in pages] == [3, 3, 1, 0]


async def test_usage_by_day_counts_every_day_and_every_millisecond(api: Api, ann: Tenant) -> None:
    await write(
        api,
        of(ann, audio_ms=1),
        of(ann, audio_ms=3_600_000, service="prerecorded"),
        of(ann, audio_ms=20, started_ms=TODAY_MS - 2 * DAY_MS),
        of(ann, audio_ms=40, started_ms=TODAY_MS - 30 * DAY_MS),
    )
    usage = await get(api, ann, "/usage")
    assert (usage["start"], usage["end"]) == (today(29), today())
    assert usage["resolution"] == {"units": "day", "amount": 1}
    assert len(usage["results"]) == 30
    assert [row["audio_ms"] for row in usage["results"][-3:]] == [20, 0, 3_600_001]
    assert usage["total"]["audio_ms"] == 3_600_021
    assert usage["results"][-1]["hours"] == 3_600_001 / 3_600_000
    wider = await get(api, ann, f"/usage?start={today(30)}")
    assert wider["total"]["audio_ms"] == 3_600_061
    streams = await get(api, ann, "/usage?service=streaming")
    assert streams["total"] == {
        "hours": 21 / 3_600_000, "total_hours": 21 / 3_600_000, "requests": 2, "audio_ms": 21, "charge_micros": 2,
    }  # fmt: skip


async def test_usage_breaks_down_by_everything_that_was_recorded(api: Api, ann: Tenant) -> None:
    await write(
        api,
        of(ann, audio_ms=1, tags=("a", "b", "a")),
        of(ann, audio_ms=2, tags=("a",), key_id=OTHER_KEY),
        of(ann, audio_ms=4, path="/transcribe", service="prerecorded", started_ms=TODAY_MS - DAY_MS),
    )

    async def groups(grouping: str, *names: str) -> dict[Any, tuple[int, int]]:
        found = await get(api, ann, f"/usage/breakdown?{grouping}")
        assert found["total"]["audio_ms"] == 7
        assert found["total"]["requests"] == 3
        keys = [tuple(str(row["grouping"][name]) for name in names) for row in found["results"]]
        assert len(keys) == len(set(keys))
        return dict(zip(keys, ((row["requests"], row["audio_ms"]) for row in found["results"]), strict=True))

    assert await groups("", "start", "end") == {(today(1), today(1)): (1, 4), (today(), today()): (2, 3)}
    assert await groups("grouping=accessor", "accessor") == {(ann.key_id,): (2, 5), (OTHER_KEY,): (1, 2)}
    assert await groups("grouping=service", "service") == {("streaming",): (2, 3), ("prerecorded",): (1, 4)}
    assert await groups("grouping=method", "method") == {("streaming",): (2, 3), ("sync",): (1, 4)}
    assert await groups("grouping=endpoint", "endpoint") == {("/v1/listen",): (2, 3), ("/transcribe",): (1, 4)}
    assert await groups("grouping=tag", "tags") == {("['a']",): (2, 3), ("['b']",): (1, 1), ("[]",): (1, 4)}
    assert await groups("grouping=day&grouping=tags", "start", "tags") == {
        (today(), "['a']"): (2, 3),
        (today(), "['b']"): (1, 1),
        (today(1), "[]"): (1, 4),
    }
    whole = await get(api, ann, f"/usage/breakdown?grouping=service&start={today(9)}")
    assert whole["resolution"] == {"units": "day", "amount": 10}
    tagged = await get(api, ann, "/usage/breakdown?grouping=accessor&tag=b")
    assert [row["audio_ms"] for row in tagged["results"]] == [1]


async def test_an_unusable_query_gets_an_error_that_says_what_is_allowed(api: Api, ann: Tenant) -> None:
    for path, says in (
        ("/usage?start=2026-01-31&end=2026-01-01", "a start before the end"),
        ("/usage?start=2020-01-01&end=2026-01-01", "at most 366 days"),
        ("/usage/breakdown?start=2020-01-01", "at most 366 days"),
        ("/usage?start=today", "YYYY-MM-DD"),
        ("/usage?diarise=true", "diarise"),
        ("/usage/breakdown?grouping=model", "grouping"),
        ("/requests?start=2026-01-01T10:00:00Z&end=2026-01-01T10:00:00Z", "a start before the end"),
        ("/requests?page=100&limit=1000", "page_token"),
        ("/requests?page_token=nonsense", "next_page_token"),
        ("/requests?tag=%00", "NUL"),
    ):
        error = await get(api, ann, path, 400)
        assert error["err_code"] == "Bad Request"
        assert says in error["err_msg"]


async def export(api: Api, tenant: Tenant, query: str) -> list[dict[str, str]]:
    path = f"/v1/projects/{tenant.project_id}/usage/csv?{query}"
    async with api.client.get(path, headers={"Authorization": f"Token {tenant.key}"}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert response.headers["Content-Disposition"].startswith('attachment; filename="usage-by-')
        return list(csv.DictReader(io.StringIO(await response.text(), newline="")))


async def exported(api: Api, tenant: Tenant, query: str) -> list[dict[str, Any]]:
    """The same as JSON."""
    path = f"/v1/projects/{tenant.project_id}/usage/json?{query}"
    async with api.client.get(path, headers={"Authorization": f"Token {tenant.key}"}) as response:
        assert response.headers["Content-Disposition"].startswith('attachment; filename="requests-')
        found: list[dict[str, Any]] = await response.json()
        return found


async def test_an_export_holds_every_request_once_however_many_batches_it_takes(
    api: Api, ann: Tenant, bob: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "EXPORT_ROWS", 7)
    # Several begin in the same millisecond, so batches end between them.
    readings = [of(ann, started_ms=TODAY_MS + n // 5, audio_ms=n, tags=("=1+1",)) for n in range(30)]
    await write(api, *readings, of(bob), of(ann, started_ms=TODAY_MS - 40 * DAY_MS))
    rows = await export(api, ann, f"start={today(29)}")
    expected = sorted(readings, key=lambda one: (one.started_ms, one.request_id))
    assert [row["request_id"] for row in rows] == [one.request_id for one in expected]
    assert sum(int(row["audio_ms"]) for row in rows) == (await get(api, ann, "/usage"))["total"]["audio_ms"]
    assert {row["tags"] for row in rows} == {"'=1+1"}
    assert len(await export(api, ann, "service=prerecorded")) == 0
    assert await exported(api, ann, "service=prerecorded") == []
    # As JSON each is what the list of requests says of it.
    page = await get(api, ann, f"/requests?start={today(29)}&limit=1000")
    assert (await exported(api, ann, f"start={today(29)}"))[::-1] == page["requests"]


async def test_an_export_by_day_says_what_usage_says(api: Api, ann: Tenant) -> None:
    await write(api, of(ann, audio_ms=7), of(ann, audio_ms=9, started_ms=TODAY_MS - DAY_MS))
    rows = await export(api, ann, "by=day")
    usage = await get(api, ann, "/usage")
    assert [(row["day"], int(row["audio_ms"])) for row in rows] == [
        (day["start"], day["audio_ms"]) for day in usage["results"]
    ]


async def test_a_day_agrees_with_its_requests_until_somebody_tampers_with_either(api: Api, ann: Tenant) -> None:
    await write(api, of(ann, audio_ms=7), of(ann, audio_ms=9, rank=Rank.OPEN), of(ann, started_ms=TODAY_MS - 1))
    checked = await get(api, ann, f"/usage/reconciliation?day={today()}")
    assert checked == {
        "day": today(), "requests": 2, "audio_ms": 16, "charge_micros": 2,
        "from_requests": {"requests": 2, "audio_ms": 16, "charge_micros": 2}, "agrees": True,
    }  # fmt: skip
    async with api.database.connection() as connection:
        await connection.execute("update usage_requests set audio_ms = audio_ms + 1 where audio_ms = 9")
    checked = await get(api, ann, f"/usage/reconciliation?day={today()}")
    assert (checked["audio_ms"], checked["from_requests"]["audio_ms"], checked["agrees"]) == (16, 17, False)
    assert "kept" not in (await get(api, ann, "/usage/reconciliation", 400))["err_msg"]
    assert "allowed: from" in (await get(api, ann, "/usage/reconciliation?day=2020-01-01", 404))["err_msg"]


async def test_balance_and_spend_are_the_sums_of_the_requests_charges(api: Api, ann: Tenant) -> None:
    # 0.36 dollars an hour are a tenth of a millionth a millisecond: each is rounded by itself, half up.
    await write(api, *(of(ann, audio_ms=5) for _ in range(4)), *(of(ann, audio_ms=4) for _ in range(5)))
    await write(api, of(ann, started_ms=TODAY_MS - 90 * DAY_MS))
    found = (await get(api, ann, "/requests?limit=20"))["requests"]
    assert sorted(one["charge_micros"] for one in found) == [0] * 5 + [1] * 4
    async with api.database.connection() as connection:
        for amount in (5_000_000, 250_000):
            await credits_of.insert(connection, ann.project_id, amount, "test")
    usage = await get(api, ann, "/usage")
    spend = await get(api, ann, "/spend")
    assert spend == {
        "start": usage["start"], "end": usage["end"], "amount": 0.000004, "units": "usd", "price_per_hour": 0.36,
        "amount_micros": 4, "audio_ms": usage["total"]["audio_ms"],
    }  # fmt: skip
    [balance] = (await get(api, ann, "/balances"))["balances"]
    assert (balance["credit_micros"], balance["audio_ms"]) == (5_250_000, 40 + 1500)
    assert balance["spent_micros"] == 154
    assert balance["amount_micros"] == 5_250_000 - 154
    assert (balance["amount"], balance["units"]) == (5.249846, "usd")
    assert await get(api, ann, f"/balances/{balance['balance_id']}") == balance
    await get(api, ann, f"/balances/{OTHER_KEY}", 404)


async def test_every_figure_agrees_after_many_readings_of_each_request_in_any_order_with_corrections(
    api: Api, ann: Tenant, bob: Tenant
) -> None:
    draw = random.Random(20260331)
    last: dict[str, UsageReading] = {}
    sent: list[UsageReading] = []
    for number in range(60):
        first = of(
            draw.choice((ann, ann, bob)), started_ms=TODAY_MS - draw.randrange(3 * DAY_MS),
            tags=("odd",) * (number % 2), rank=Rank.OPEN, seq=0, audio_ms=0, status=101, close_code=None,
            path=draw.choice(("/v1/listen", "/transcribe")),
        )  # fmt: skip
        grown = [replace(first, seq=seq, audio_ms=seq * 10_000 + draw.randrange(10_000)) for seq in range(1, 6)]
        # Closed without its proxy, which came back, ended it, and corrected that down and up.
        closed = replace(grown[-1], rank=Rank.INCOMPLETE)
        final = replace(closed, rank=Rank.FINAL, seq=6, audio_ms=draw.randrange(90_000), close_code=1000)
        lower = replace(final, seq=7, audio_ms=final.audio_ms // 3)
        upper = replace(final, seq=8, audio_ms=final.audio_ms + 1)
        story = [first, *grown, closed, final, lower, upper][: draw.randrange(1, 11)]
        last[first.request_id] = max(story, key=lambda one: one.order)
        sent += [*story, *draw.sample(story, k=len(story) // 2)]
    draw.shuffle(sent)
    for at in range(0, len(sent), 17):
        await write(api, *sent[at : at + 17])

    for tenant in (ann, bob):
        kept = [one for one in last.values() if one.project_id == tenant.project_id]
        audio_ms = sum(one.audio_ms for one in kept)
        usage = await get(api, tenant, "/usage")
        assert (usage["total"]["requests"], usage["total"]["audio_ms"]) == (len(kept), audio_ms)
        assert sum(day["audio_ms"] for day in usage["results"]) == audio_ms
        for grouping in ("day", "accessor", "endpoint", "service", "tag"):
            found = await get(api, tenant, f"/usage/breakdown?grouping={grouping}")
            assert found["total"]["audio_ms"] == sum(row["audio_ms"] for row in found["results"]) == audio_ms
        odd = await get(api, tenant, "/usage?tag=odd")
        assert odd["total"]["audio_ms"] == sum(one.audio_ms for one in kept if one.tags)
        rows = await export(api, tenant, "by=request")
        assert {row["request_id"]: int(row["audio_ms"]) for row in rows} == {
            one.request_id: one.audio_ms for one in kept
        }
        for minus in range(4):
            checked = await get(api, tenant, f"/usage/reconciliation?day={today(minus)}")
            assert checked["agrees"]
            assert checked["audio_ms"] == sum(
                one.audio_ms for one in kept if start_of(date.fromisoformat(today(minus))) <= one.started_ms
                < start_of(date.fromisoformat(today(minus))) + DAY_MS
            )  # fmt: skip
        [balance] = (await get(api, tenant, "/balances"))["balances"]
        spend = await get(api, tenant, "/spend")
        assert balance["audio_ms"] == spend["audio_ms"] == audio_ms
        # 0.36 dollars an hour are a tenth of a millionth a millisecond.
        charges = sum((one.audio_ms + 5) // 10 for one in kept)
        assert balance["spent_micros"] == spend["amount_micros"] == usage["total"]["charge_micros"] == charges
        assert balance["amount_micros"] == balance["credit_micros"] - balance["spent_micros"]


async def test_usage_needs_its_scope(api: Api, ann: Tenant) -> None:
    body = {"comment": "", "scopes": ["project:read"]}
    made = await api.call("POST", f"/v1/projects/{ann.project_id}/keys", ann.key, body)
    for path in ("/requests", "/usage", "/usage/breakdown", "/usage/csv", "/usage/json", "/balances", "/spend"):
        await api.call("GET", f"/v1/projects/{ann.project_id}{path}", made["key"], status=403)
