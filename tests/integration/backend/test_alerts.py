"""Alerts on a real PostgreSQL: each threshold is announced once, none is missed, and each event arrives."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from aldea.address_guard import AddressGuard, GuardedClient
from aldea.postgres import Database
from aldea.tasks import spawn
from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank
from backend.alerts import deliveries, outbox, repository
from backend.alerts.events import Event
from backend.alerts.mail import Folder, Mail, Mailer, MailFailed
from backend.alerts.reports import Reports
from backend.alerts.schedule import Schedule
from backend.alerts.thresholds import Thresholds
from backend.alerts.webhook import new_secret
from backend.alerts.worker import DeliveryWorker
from backend.api.endpoint import SYSTEM
from backend.changes import Changes
from backend.credits import repository as credits_of
from backend.keys.service import create_key
from http_proxy.callbacks.store import Deliveries, Delivery, Taken
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.fakes.webhooks import Receiver
from tests.integration.backend.test_ledger import account
from tests.integration.conftest import Api, Tenant, sign_in
from tests.readings import KEY, reading
from tests.support.proxies import eventually, patient_link

# At 0.36 dollars an hour a second costs 100 micro-dollars.
SECOND = 100


class Platform:
    """A database with a project, whatever is used in it, and what is announced of it."""

    def __init__(self, database: Database, project_id: str) -> None:
        self.database = database
        self.project_id = project_id
        self.thresholds = Thresholds(database)

    async def run(self, statement: str, *arguments: Any) -> Any:
        async with self.database.connection() as connection:
            return await connection.fetchval(statement, *arguments)

    async def use(self, seconds: int, project_id: str = "", key_id: str = KEY) -> None:
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        one = reading(
            project_id=project_id or self.project_id, key_id=key_id, started_ms=now_ms, rank=Rank.FINAL,
            audio_ms=seconds * 1000,
        )  # fmt: skip
        await Writer(self.database).merge(reduce_batch([Stamped(one, 0)]))

    async def grant(self, micros: int) -> None:
        async with self.database.transaction() as connection:
            assert await credits_of.insert(connection, self.project_id, micros, "x")

    async def events(self) -> list[tuple[str, Any]]:
        """What was announced, in order: type, and the part or balance."""
        while await self.thresholds.sweep_now() or await self.run("select count(*) from alert_moves"):
            pass
        async with self.database.connection() as connection:
            rows = await connection.fetch("select type, data::text from alert_events order by event_id")
        found = [(row["type"], json.loads(row["data"])) for row in rows]
        return [(kind, data.get("percent", data.get("threshold_micros"))) for kind, data in found]


@pytest.fixture
async def platform(database: Database) -> Platform:
    [project_id] = await account(database, "ann", 1)
    await database.pool.execute("update projects set monthly_audio_seconds = 100")
    await database.pool.execute("update billing_accounts set balance_thresholds = '{5000}'")
    return Platform(database, project_id)


async def test_each_part_of_a_quota_is_announced_once(platform: Platform) -> None:
    await platform.grant(1_000_000_000)
    await platform.use(49)
    assert await platform.events() == []
    await platform.use(1)
    assert await platform.events() == [("quota.reached", 50)]
    await platform.use(49)
    await platform.use(49)
    expected = [("quota.reached", percent) for percent in (50, 80, 100)]
    assert sorted(await platform.events()) == sorted(expected)
    await platform.use(300)
    assert sorted(await platform.events()) == sorted(expected)
    # A raised limit has parts of its own; one that is lowered below what is used is announced without any use.
    await platform.run("update projects set monthly_audio_seconds = 1000")
    await platform.use(60)
    assert Counter(await platform.events())[("quota.reached", 50)] == 2


async def test_budgets_and_quotas_of_keys_projects_and_accounts_are_announced(platform: Platform) -> None:
    await platform.grant(1_000_000_000)
    async with Changes(platform.database).transaction(SYSTEM) as change:
        keys = [await create_key(change, platform.project_id, None, comment="k", scopes=["usage:write"]) for _ in "ab"]
    await platform.run("update projects set monthly_audio_seconds = null, monthly_budget_micros = $1", 1000 * SECOND)
    await platform.run("update billing_accounts set monthly_audio_seconds = 400, monthly_budget_micros = $1", 50_000)
    first, second = [key.key_id for key in keys]
    await platform.run("update api_keys set monthly_audio_seconds = 100, monthly_budget_micros = $2 where key_id = $1",
        first, 200 * SECOND)  # fmt: skip
    await platform.run("update api_keys set limited_as = $2 where key_id = $1", second, first)
    await platform.use(40, key_id=first)
    await platform.use(60, key_id=second)
    found = {
        (json.loads(row)["subject"], json.loads(row)["percent"], kind)
        for kind, row in await _rows(platform)
        if kind in {"quota.reached", "budget.reached"}
    }
    assert found == {("key", percent, "quota.reached") for percent in (50, 80, 100)} | {("key", 50, "budget.reached")}
    await platform.use(400)
    found = {
        (json.loads(row)["subject"], json.loads(row)["percent"], kind)
        for kind, row in await _rows(platform)
        if "key_id" not in json.loads(row)
    }
    assert found == {
        *(("account", percent, "quota.reached") for percent in (50, 80, 100)),
        *(("account", percent, "budget.reached") for percent in (50, 80, 100)),
        ("project", 50, "budget.reached"),
    }


async def test_a_keys_limit_is_announced_as_long_as_one_of_the_keys_that_share_it_is_good(platform: Platform) -> None:
    await platform.grant(1_000_000_000)
    async with Changes(platform.database).transaction(SYSTEM) as change:
        keys = [await create_key(change, platform.project_id, None, comment="k", scopes=["usage:write"]) for _ in "ab"]
    first, second = [key.key_id for key in keys]
    await platform.run("update projects set monthly_audio_seconds = null")
    await platform.run("update api_keys set monthly_audio_seconds = 100 where key_id = $1", first)
    await platform.run("update api_keys set limited_as = $2 where key_id = $1", second, first)
    await platform.run("update api_keys set revoked = now() where key_id = $1", first)
    await platform.use(50, key_id=second)
    assert [kind for kind in await platform.events() if kind[0] == "quota.reached"] == [("quota.reached", 50)]
    await platform.run("update api_keys set revoked = now() where key_id = $1", second)
    await platform.use(50, key_id=second)
    assert [kind for kind in await platform.events() if kind[0] == "quota.reached"] == [("quota.reached", 50)]


async def _rows(platform: Platform) -> list[tuple[str, str]]:
    await platform.events()
    async with platform.database.connection() as connection:
        return [(row[0], row[1]) for row in await connection.fetch("select type, data::text from alert_events")]


async def test_a_balance_is_announced_each_time_it_falls_and_not_while_it_stays_there(platform: Platform) -> None:
    await platform.run("update projects set monthly_audio_seconds = null")
    assert await platform.events() == []
    await platform.grant(10_000)
    await platform.use(49)
    assert await platform.events() == []
    await platform.use(2)
    low, spent = ("balance.low", 5000), ("balance.spent", 0)
    assert await platform.events() == [low]
    await platform.use(10)
    assert await platform.events() == [low]
    await platform.use(100)
    assert await platform.events() == [low, spent]
    await platform.grant(1)
    assert await platform.events() == [low, spent]
    await platform.grant(100_000)
    assert await platform.events() == [low, spent]
    await platform.use(2000)
    assert sorted(await platform.events()) == sorted([low, spent] * 2)


async def test_many_processes_that_look_and_use_at_once_announce_each_threshold_once(platform: Platform) -> None:
    await platform.grant(10_000)
    lookers = [Thresholds(platform.database) for _ in range(4)]
    done = asyncio.Event()

    async def look(one: Thresholds) -> None:
        while not done.is_set():
            await one.sweep_now()

    looking = asyncio.gather(*(look(one) for one in lookers))
    await asyncio.gather(*(platform.use(6) for _ in range(20)))
    done.set()
    await looking
    found = Counter(await platform.events())
    assert set(found.values()) == {1}
    quota = {("quota.reached", percent) for percent in (50, 80, 100)}
    assert set(found) == quota | {("balance.low", 5000), ("balance.spent", 0)}


async def test_a_look_that_fails_is_made_again(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    await platform.grant(10_000)
    await platform.use(60)

    async def fails(*_arguments: Any) -> int:
        raise RuntimeError("for the test")

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "add", fails)
        with pytest.raises(RuntimeError):
            await platform.thresholds.sweep_now()
    assert sorted(await platform.events()) == [("balance.low", 5000), ("quota.reached", 50)]


async def test_the_last_month_is_looked_at_on_the_first_day_of_the_next(platform: Platform) -> None:
    await platform.grant(1_000_000_000)
    today = datetime.now(UTC).date()
    following = (today.replace(day=28).replace(day=1) if today.month == 12 else today).replace(
        year=today.year + today.month // 12, month=today.month % 12 + 1, day=1
    )
    await platform.use(60)
    assert await Thresholds(platform.database, today=lambda: following).sweep_now() == 1


# Deliveries.


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as made:
        yield made


class Mails:
    """A mailer that keeps what it was given, and fails as often as it is made to."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []
        self.failures: list[MailFailed] = []

    async def send(self, mail: Mail) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(mail)


class Sender:
    """The deliveries of one process, each step of which the test makes."""

    def __init__(self, platform: Platform, client: GuardedClient, mailer: Mailer) -> None:
        self.platform = platform
        self.worker = DeliveryWorker(platform.database, client, mailer, console="https://console.test")

    async def hook(self, receiver: Receiver, **more: Any) -> str:
        secret = new_secret()
        receiver.secrets.append(secret)
        async with self.platform.database.connection() as connection:
            row = await repository.insert(
                connection, self.platform.project_id, receiver.url, "", more.get("types"), secret
            )
        return row.endpoint_id

    async def announce(self, kind: Any = "project.resumed", **data: Any) -> None:
        async with self.platform.database.connection() as connection:
            event = Event(type=kind, project_id=self.platform.project_id, data=data)
            assert await outbox.add(connection, [event]) == 1

    async def step(self) -> int:
        """Attempt what is due; of how many."""
        count = await self.worker.start_due()
        await self.worker.settled()
        return count

    async def later(self, seconds: float) -> None:
        """As if so many seconds had passed."""
        await self.platform.run(
            "update alert_deliveries set due = due - $1::float8 * interval '1 s' where state = 'waiting'", seconds
        )

    async def states(self) -> list[tuple[str, int, int | None]]:
        async with self.platform.database.connection() as connection:
            rows = await connection.fetch("select state, attempts, status from alert_deliveries order by delivery_id")
        return [(row["state"], row["attempts"], row["status"]) for row in rows]


@pytest.fixture
async def mails() -> Mails:
    return Mails()


@pytest.fixture
async def sender(platform: Platform, mails: Mails) -> AsyncIterator[Sender]:
    async with GuardedClient(AddressGuard(allow_loopback=True)) as client:
        yield Sender(platform, client, mails)


async def test_an_event_is_sent_until_it_is_taken_under_one_id(sender: Sender, receiver: Receiver) -> None:
    await sender.hook(receiver)
    receiver.statuses = [500, 302]
    await sender.announce(note="n")
    for _ in range(3):
        assert await sender.step() == 1
        assert await sender.step() == 0
        await sender.later(400)
    assert len(set(receiver.ids)) == 1
    assert await sender.states() == [("delivered", 3, 200)]
    async with sender.platform.database.connection() as connection:
        [kept] = await connection.fetch("select history::text from alert_deliveries")
    assert [attempt["status"] for attempt in json.loads(kept["history"])] == [500, 302, 200]
    first = receiver.received[0]
    assert (first["type"], first["data"], first["id"]) == ("project.resumed", {"note": "n"}, receiver.ids[0])
    assert await sender.step() == 0


async def test_after_a_day_it_is_given_up(sender: Sender, receiver: Receiver) -> None:
    await sender.hook(receiver)
    receiver.statuses = [503] * 20
    await sender.announce()
    for _ in range(12):
        await sender.step()
        await sender.later(86_400)
    assert await sender.states() == [("failed", 10, 503)]
    assert receiver.began == 10
    # Sent again: the oldest attempt makes room.
    receiver.statuses = [418]
    await sender.platform.run("update alert_deliveries set state = 'waiting', attempts = 0, due = now()")
    await sender.step()
    async with sender.platform.database.connection() as connection:
        [kept] = await connection.fetch("select history::text from alert_deliveries")
    assert [attempt["status"] for attempt in json.loads(kept["history"])] == [503] * 9 + [418]


async def test_a_receiver_that_hangs_delays_nobody_else_and_holds_few_places(
    sender: Sender, receiver: Receiver
) -> None:
    async with Receiver() as slow:
        slow.held.clear()
        await sender.hook(slow)
        for _ in range(30):
            await sender.announce()
        await sender.worker.start_due()
        await eventually(lambda: slow.began == 4)
        await sender.hook(receiver)
        await sender.announce()
        assert await sender.worker.start_due() == 1
        await eventually(lambda: receiver.received)
        assert await sender.worker.start_due() == 0
        slow.held.set()
        await sender.worker.settled()
        while await sender.step():
            pass
    assert len(set(slow.ids)) == len(slow.ids) == 31


async def test_what_a_dead_process_had_is_sent_by_another_and_its_late_result_counts_no_more(
    sender: Sender, receiver: Receiver
) -> None:
    await sender.hook(receiver)
    receiver.held.clear()
    await sender.announce()
    await sender.worker.start_due()
    await eventually(lambda: receiver.began == 1)
    other = DeliveryWorker(sender.platform.database, sender.worker._client, sender.worker._mailer)
    assert await other.start_due() == 0
    await sender.later(600)
    receiver.statuses = [500]
    assert await other.start_due() == 1
    await eventually(lambda: receiver.began == 2)
    receiver.held.set()
    await sender.worker.settled()
    await other.settled()
    assert len(set(receiver.ids)) == 1
    [(state, attempts, _)] = await sender.states()
    assert (state in {"waiting", "delivered"}, attempts) == (True, 2)


async def test_a_webhook_that_fails_for_days_is_disabled_with_a_mail_and_what_waits_is_given_up(
    sender: Sender, receiver: Receiver, mails: Mails
) -> None:
    hook = await sender.hook(receiver)
    receiver.statuses = [500] * 3
    await sender.announce()
    await sender.step()
    await sender.platform.run("update alert_endpoints set failing_since = now() - interval '6 days'")
    await sender.announce()
    await sender.step()
    while await sender.step():
        pass
    assert {state for state, *_ in await sender.states() if state != "delivered"} == {"failed"}
    [mail] = mails.sent
    assert "webhook was disabled" in mail.subject
    assert receiver.url in mail.text
    await sender.announce()
    assert await sender.step() == 0
    assert await sender.platform.run("select disabled is not null from alert_endpoints where endpoint_id = $1", hook)


async def test_a_success_in_between_begins_the_days_anew(sender: Sender, receiver: Receiver) -> None:
    await sender.hook(receiver)
    await sender.platform.run("update alert_endpoints set failing_since = now() - interval '6 days'")
    await sender.announce()
    await sender.step()
    receiver.statuses = [500]
    await sender.announce()
    await sender.step()
    assert await sender.platform.run("select count(*) from alert_endpoints where disabled is null") == 1


@pytest.mark.parametrize("status", [200, 500])
async def test_a_webhook_that_is_deleted_while_it_is_sent_to_is_gone_and_nobody_waits_for_ever(
    sender: Sender, receiver: Receiver, status: int
) -> None:
    hook = await sender.hook(receiver)
    await sender.platform.run("update alert_endpoints set failing_since = now()")
    receiver.statuses = [status]
    await sender.announce()
    with capture_logs() as logs:
        async with sender.platform.database.transaction() as connection:
            await repository.delete(connection, hook)
            sending = spawn(sender.step(), name="send")
            # The outcome waits for the webhook that is being deleted: it may not keep the delivery meanwhile.
            waits = (
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            )
            await eventually(lambda: sender.platform.run(waits))
            await deliveries.forget(connection, hook)
        await sending
    assert not [line for line in logs if line["event"] == "delivery state not written"]
    assert await sender.states() == []


async def test_410_disables_at_once(sender: Sender, receiver: Receiver) -> None:
    await sender.hook(receiver)
    receiver.statuses = [410]
    await sender.announce()
    await sender.step()
    assert await sender.platform.run("select count(*) from alert_endpoints where disabled is not null") == 1


async def test_an_address_inside_is_refused_when_it_is_sent_to(platform: Platform, receiver: Receiver) -> None:
    async with GuardedClient(AddressGuard()) as client:
        sender = Sender(platform, client, Mails())
        await sender.hook(receiver)
        await sender.announce()
        await sender.step()
    assert receiver.began == 0
    assert "no public address" in await platform.run("select error from alert_deliveries")


async def test_a_webhook_gets_the_types_that_it_wants(sender: Sender, receiver: Receiver) -> None:
    await sender.hook(receiver, types=["key.created"])
    await sender.announce("project.resumed")
    await sender.announce("key.created", key_id="k")
    while await sender.step():
        pass
    assert [one["type"] for one in receiver.received] == ["key.created"]


async def test_an_accounts_event_goes_to_the_webhooks_of_all_its_projects_and_to_its_owner(
    sender: Sender, receiver: Receiver, mails: Mails
) -> None:
    platform = sender.platform
    await platform.run("update projects set monthly_audio_seconds = null")
    await sender.hook(receiver)
    await platform.grant(10_000)
    await platform.use(80)
    await platform.events()
    while await sender.step():
        pass
    assert [one["data"]["balance_micros"] for one in receiver.received] == [2000]
    assert [mail.subject for mail in mails.sent] == ["Aldea: Balance below 0.005 USD"]
    assert mails.sent[0].to == "ann"


async def test_a_mail_is_tried_again_unless_the_server_refuses_it_for_good(sender: Sender, mails: Mails) -> None:
    await sender.announce("project.suspended", reason="r")
    mails.failures = [MailFailed("busy"), MailFailed("busy")]
    for _ in range(3):
        assert await sender.step() == 1
        await sender.later(400)
    assert len(mails.sent) == 1
    await sender.announce("project.suspended")
    mails.failures = [MailFailed("no such mailbox", final=True)]
    await sender.step()
    assert [state for state, *_ in await sender.states()] == ["delivered", "failed"]


async def test_one_person_gets_a_bounded_number_of_mails_in_a_day(sender: Sender, mails: Mails) -> None:
    for _ in range(25):
        await sender.announce("project.suspended")
    while await sender.step():
        pass
    assert len(mails.sent) == outbox.MAILS_A_DAY


async def test_a_mail_in_a_folder_can_be_read_there(platform: Platform, tmp_path: Path) -> None:
    async with GuardedClient(AddressGuard()) as client:
        sender = Sender(platform, client, Folder(tmp_path / "mail", "Aldea <no-reply@example.com>"))
        await sender.announce("project.suspended", reason="unpaid")
        await sender.step()
    [file] = (tmp_path / "mail").iterdir()
    text = file.read_text()
    assert "Subject: Aldea: Project suspended" in text
    assert "unpaid" in text
    assert file.stat().st_mode & 0o077 == 0


# What the clock and the proxies report.


async def test_a_key_that_expires_soon_is_announced_once_for_each_notice(platform: Platform) -> None:
    async with Changes(platform.database).transaction(SYSTEM) as change:
        for _ in range(3):
            await create_key(change, platform.project_id, None, comment="k", scopes=["usage:write"])
    await platform.run(
        """
        with numbered as (select key_id, row_number() over (order by key_id) as n from api_keys)
        update api_keys set created = now() - days * interval '1 day', expires = now() + interval '5 days'
        from numbered join (values (1, 300), (2, 3), (3, 10)) as of (n, days) using (n)
        where numbered.key_id = api_keys.key_id
        """
    )
    schedule = Schedule(platform.database)
    assert [await schedule.sweep_now() for _ in range(2)] == [2, 0]
    await platform.run("update api_keys set expires = now() + interval '20 hours'")
    assert [await schedule.sweep_now() for _ in range(2)] == [3, 0]


async def test_a_price_is_announced_to_each_account_of_its_plan_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.alerts.schedule.PAGE", 2)
    for number in range(4):
        await account(platform.database, f"user-{number}", 1)
    await platform.run("update billing_accounts set plan = 'postpaid' where account_id = ("
        "select account_id from billing_accounts order by account_id limit 1)")  # fmt: skip
    await platform.run(
        "insert into prices (plan, service, micros_per_hour, effective_from) "
        "values ('free', 'streaming', 1, now() + interval '9 days')"
    )
    found = await asyncio.gather(*(Schedule(platform.database).sweep_now() for _ in range(3)))
    assert sum(found) == 4
    assert await Schedule(platform.database).sweep_now() == 0
    assert await platform.run("select count(distinct account_id) from alert_events") == 4


async def test_a_callback_that_was_given_up_is_an_event(platform: Platform, redis_url: str) -> None:
    request_id = "018f0000-0000-7000-8000-00000000000a"
    final = reading(request_id=request_id, project_id=platform.project_id)
    delivery = Delivery(
        request_id=request_id, url="https://example.com:8443/x?secret=1", method="POST", body="{}", content_type="",
        secret="", reading=final.to_json(),
    )  # fmt: skip
    async with patient_link(redis_url) as link:
        store = Deliveries(link, most_bytes=1 << 20)
        await store.put(delivery)
        taken = Taken(request_id, platform.project_id, 0, delivery.url, 10)
        for _ in range(2):
            await store.done(taken, failure="responded 500")
        await link.run(lambda client: client.xadd("alerts:events", {"e": "no JSON"}))
        reports = [Reports(platform.database, link) for _ in range(2)]
        assert sum(await asyncio.gather(*(one.sweep_now() for one in reports))) == 1
        assert await link.run(lambda client: client.xlen("alerts:events")) == 0
    [(kind, data)] = await _rows(platform)
    assert kind == "callback.failed"
    assert json.loads(data) == {
        "request_id": request_id, "host": "example.com", "attempts": 11, "reason": "responded 500",
    }  # fmt: skip


# End to end, over the API.


async def test_a_webhook_from_its_making_to_its_deletion(api: Api, ann: Tenant, receiver: Receiver) -> None:
    path = f"/v1/projects/{ann.project_id}/webhooks"
    made = await api.call("POST", path, ann.key, {"url": receiver.url, "description": "d"}, status=201)
    receiver.secrets = [made["secret"]]
    assert made["secret"].startswith("whsec_")
    one = f"{path}/{made['webhook_id']}"
    assert "secret" not in await api.call("GET", one, ann.key)
    await api.call("POST", f"{one}/test", ann.key, status=202)
    await eventually(lambda: len(receiver.received) == 1)
    rotated = await api.call("POST", f"{one}/rotate", ann.key)
    receiver.secrets.append(rotated["secret"])
    key = await api.call(
        "POST", f"/v1/projects/{ann.project_id}/keys", ann.key, {"comment": "c", "scopes": ["usage:write"]}
    )
    await eventually(lambda: len(receiver.received) == 2)
    assert [found["type"] for found in receiver.received] == ["webhook.test", "key.created"]
    assert receiver.received[1]["data"]["key_id"] == key["api_key_id"]
    assert key["key"] not in json.dumps(receiver.received)
    assert len(receiver.signatures[1].split()) == 2

    async def delivered() -> Any:
        found = (await api.call("GET", f"{one}/deliveries?state=delivered", ann.key))["deliveries"]
        return found if len(found) == 2 else None

    newest, oldest = await eventually(delivered)
    assert (newest["type"], newest["status"], newest["attempts"]) == ("key.created", 200, 1)
    assert newest["response"].startswith("seen")
    assert [one["status"] for one in newest["history"]] == [200]
    await api.call("POST", f"{one}/deliveries/{oldest['delivery_id']}/send", ann.key, status=202)
    await eventually(lambda: len(receiver.received) == 3)
    assert receiver.ids[2] == receiver.ids[0]
    assert not (await api.call("PATCH", one, ann.key, {"enabled": False}))["enabled"]
    await api.call("POST", f"{one}/test", ann.key, status=409)
    events = (await api.call("GET", f"/v1/projects/{ann.project_id}/events", ann.key))["events"]
    assert "key.created" in {event["type"] for event in events}
    await api.call("DELETE", one, ann.key)
    assert (await api.call("GET", path, ann.key)) == {"webhooks": []}


async def test_bad_webhooks_and_thresholds_are_refused(api: Api, ann: Tenant, bob: Tenant) -> None:
    path = f"/v1/projects/{ann.project_id}/webhooks"
    for url in ("", "ftp://example.com", "https://10.0.0.1/", "https://user:pass@example.com/", "https://example.com:22",
                "http://169.254.169.254/", "https://[::1]x/"):  # fmt: skip
        await api.call("POST", path, ann.key, {"url": url}, status=400)
    faults: list[dict[str, Any]] = [
        {"types": []},
        {"types": ["nothing"]},
        {"description": "two\nlines"},
        {"description": "x" * 201},
    ]
    for more in faults:
        await api.call("POST", path, ann.key, {"url": "https://example.com/", **more}, status=400)
    await api.call("POST", path, bob.key, {"url": "https://example.com/"}, status=404)
    session = await sign_in(api, ann.email)
    for bad in ([0], [-1], [1.5], [10**13], [1, 2, 3, 4, 5, 6], "x", None):
        await api.call("PUT", "/v1/billing/alerts", session, {"balance_thresholds_micros": bad}, status=400)
    body = {"balance_thresholds_micros": [5, 7, 5]}
    assert await api.call("PUT", "/v1/billing/alerts", session, body) == {"balance_thresholds_micros": [7, 5]}
    assert await api.call("GET", "/v1/billing/alerts", session) == {"balance_thresholds_micros": [7, 5]}
    for _ in range(10):
        await api.call("POST", path, ann.key, {"url": "http://127.0.0.1:9/"}, status=201)
    await api.call("POST", path, ann.key, {"url": "http://127.0.0.1:9/"}, status=409)
