"""Every request that changes something leaves its audit line, its notification, and its records in Redis."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from aldea.postgres import Database
from backend.api.endpoint import SYSTEM
from backend.app import ENDPOINTS
from backend.changes import Changes, HalfDone, UnitOfWork
from tests.integration.conftest import Api, make_tenant, sign_in
from tests.support.changed import Effect, World
from tests.support.estates import settle

ANNS_PASSWORD = "ann-password"
NEW_PASSWORD = "quite another phrase"
SIGN_UP = {"email": "new@example.com", "name": "New", "password": NEW_PASSWORD, "project_name": "P"}


async def create_account(world: World) -> Effect:
    made = await world.send(None, SIGN_UP)
    [project] = (await world.api.call("GET", "/v1/me", made["session_token"]))["projects"]
    user_id, project_id = made["user"]["user_id"], project["project_id"]
    account = await world.record_of_account(project_id)
    return Effect(
        lines=[("account.create", user_id), ("project.create", project_id), ("project.credit", project_id)],
        notified={f"project:{project_id}", account},
        mirrored={f"project:{project_id}", account},
    )


async def create_account_in_place_of_a_session(world: World) -> Effect:
    granted = await world.grant(world.ann.session)
    made = await world.send(None, SIGN_UP | {"replaces": world.ann.session})
    [project] = (await world.api.call("GET", "/v1/me", made["session_token"]))["projects"]
    user_id, project_id = made["user"]["user_id"], project["project_id"]
    account = await world.record_of_account(project_id)
    return Effect(
        lines=[("account.create", user_id), ("project.create", project_id), ("project.credit", project_id)],
        notified={f"project:{project_id}", account, f"user:{world.ann.tenant.user_id}"},
        mirrored={f"project:{project_id}", account, granted},
    )


async def create_session(world: World) -> Effect:
    await world.send(None, {"email": world.ann.tenant.email, "password": ANNS_PASSWORD})
    return Effect()


async def create_session_in_place_of_another(world: World) -> Effect:
    granted = await world.grant(world.ann.session)
    body = {"email": world.ann.tenant.email, "password": ANNS_PASSWORD, "replaces": world.ann.session}
    await world.send(None, body)
    return Effect(notified={f"user:{world.ann.tenant.user_id}"}, mirrored={granted})


async def delete_session(world: World) -> Effect:
    granted = await world.grant(world.ann.session)
    await world.send(world.ann.session)
    return Effect(notified={f"user:{world.ann.tenant.user_id}"}, mirrored={granted})


async def change_password(world: World) -> Effect:
    other = await sign_in(world.api, world.ann.tenant.email)
    granted, kept = await world.grant(other), await world.grant(world.ann.session)
    await world.send(world.ann.session, {"current_password": ANNS_PASSWORD, "new_password": NEW_PASSWORD})
    user_id = world.ann.tenant.user_id
    return Effect(lines=[("password.change", user_id)], notified={f"user:{user_id}"}, mirrored={granted, kept})


async def change_me(world: World) -> Effect:
    body = {"name": "Another", "email": "another@example.com", "current_password": ANNS_PASSWORD}
    await world.send(world.ann.session, body)
    user_id = world.ann.tenant.user_id
    return Effect(lines=[("account.change", user_id)], notified={f"user:{user_id}"})


async def delete_me(world: World) -> Effect:
    made = await world.api.call("POST", "/v1/accounts", None, SIGN_UP, status=201)
    session, user_id = made["session_token"], made["user"]["user_id"]
    [project] = (await world.api.call("GET", "/v1/me", session))["projects"]
    await world.api.call("DELETE", f"/v1/projects/{project['project_id']}", session)
    await world.send(session, {"current_password": NEW_PASSWORD})
    return Effect(lines=[("account.delete", user_id)], notified={f"user:{user_id}"})


async def use_password_reset(world: World) -> Effect:
    granted, root = await world.grant(world.ann.session), await world.operator()
    body = {"email": world.ann.tenant.email}
    token = (await world.api.call("POST", "/v1/operator/password-resets", root, body, status=201))["token"]
    await world.send(None, {"token": token, "new_password": NEW_PASSWORD})
    user_id = world.ann.tenant.user_id
    return Effect(lines=[("password.change", user_id)], notified={f"user:{user_id}"}, mirrored={granted})


async def issue_password_reset(world: World) -> Effect:
    await world.send(await world.operator(), {"email": world.ann.tenant.email})
    return Effect(lines=[("password_reset.issue", world.ann.tenant.user_id)])


async def create_project(world: World) -> Effect:
    project_id = (await world.send(world.ann.session))["project_id"]
    made, account = f"project:{project_id}", await world.record_of_account(project_id)
    # Before a project's record its account's: admission refuses a project whose account it does not know.
    return Effect(lines=[("project.create", project_id)], notified={made}, mirrored={made, account})


async def update_project(world: World) -> Effect:
    await world.send(world.ann.session, {"name": "another name"})
    return Effect(lines=[("project.rename", world.ann.tenant.project_id)])


async def delete_project(world: World) -> Effect:
    granted = await world.grant(world.ann.session)
    key, project = await world.record_of_key(world.ann.tenant.key_id), f"project:{world.ann.tenant.project_id}"
    await world.send(world.ann.session)
    lines = [("project.delete", world.ann.tenant.project_id)]
    account = await world.record_of_account(world.ann.tenant.project_id)
    return Effect(lines=lines, notified={project}, mirrored={project, account, key, granted})


async def create_key(world: World) -> Effect:
    key_id = (await world.send(world.ann.session))["api_key_id"]
    record = await world.record_of_key(key_id)
    return Effect(lines=[("key.create", key_id)], notified={f"key:{key_id}"}, mirrored={record})


async def delete_key(world: World) -> Effect:
    key_id = world.ann.tenant.key_id
    child = (await world.key(world.ann.tenant.key, "usage:write"))["api_key_id"]
    await world.invite(world.ann.tenant.key, "child@example.com")
    await world.send(world.ann.session)
    # The child stays good; its record is written again, in case Redis has missed it.
    records = {await world.record_of_key(key_id), await world.record_of_key(child)}
    return Effect(lines=[("key.revoke", key_id)], notified={f"key:{key_id}"}, mirrored=records)


async def delete_key_and_what_it_made(world: World) -> Effect:
    key_id = world.ann.tenant.key_id
    child = (await world.key(world.ann.tenant.key, "usage:write"))["api_key_id"]
    await world.invite(world.ann.tenant.key, "child@example.com")
    await world.send(world.ann.session, query="?children=revoke")
    records = {await world.record_of_key(key_id), await world.record_of_key(child)}
    lines = [("key.revoke", key_id), ("key.revoke", child), ("invite.withdraw", "child@example.com")]
    return Effect(lines=lines, notified={f"key:{key_id}", f"key:{child}"}, mirrored=records)


async def delete_only_an_invite_that_a_revoked_key_made(world: World) -> Effect:
    await world.invite(world.ann.tenant.key, "child@example.com")
    await world.api.call("DELETE", f"{world.path}/keys/{world.ann.tenant.key_id}", world.ann.session)
    await world.send(world.ann.session, query="?children=revoke")
    record = await world.record_of_key(world.ann.tenant.key_id)
    return Effect(lines=[("invite.withdraw", "child@example.com")], mirrored={record})


async def rotate_key(world: World) -> Effect:
    old = world.ann.tenant.key_id
    await world.invite(world.ann.tenant.key, "child@example.com")
    new = (await world.send(world.ann.session))["api_key_id"]
    records = {await world.record_of_key(old), await world.record_of_key(new)}
    lines = [("key.create", new), ("key.rotate", old)]
    return Effect(lines=lines, notified={f"key:{new}", f"key:{old}"}, mirrored=records)


async def update_member_scopes(world: World) -> Effect:
    bob, _ = await world.join("bob", "member")
    await world.send(world.ann.session, {"scope": "admin"}, member_id=bob.user_id)
    return Effect(lines=[("member.change", bob.user_id)], notified={f"user:{bob.user_id}"})


async def demote_a_member(world: World) -> Effect:
    return await _departs(world, "member.change", {"scope": "member"})


async def demote_a_member_whose_keys_are_kept(world: World) -> Effect:
    return await _departs(world, "member.change", {"scope": "member"}, kept=True)


async def delete_member(world: World) -> Effect:
    return await _departs(world, "member.remove", None)


async def delete_member_whose_keys_are_kept(world: World) -> Effect:
    return await _departs(world, "member.remove", None, kept=True)


async def _departs(world: World, action: str, body: object, *, kept: bool = False) -> Effect:
    """An admin with a session that granted, a key and an invite is removed or demoted."""
    bob, session = await world.join("bob", "admin")
    key_id = (await world.key(session, "admin"))["api_key_id"]
    await world.invite(session, "child@example.com")
    granted, record = await world.grant(session), await world.record_of_key(key_id)
    query = "?keys=keep" if kept else ""
    await world.send(world.ann.session, body, query=query, member_id=bob.user_id)
    of_key = ("key.keep" if kept else "key.revoke", key_id)
    return Effect(
        lines=[(action, bob.user_id), ("invite.withdraw", "child@example.com"), of_key],
        notified={f"user:{bob.user_id}", f"key:{key_id}"},
        # A member may still grant tokens.
        mirrored={record} if action == "member.change" else {record, granted},
    )


async def leave_project(world: World) -> Effect:
    bob, session = await world.join("bob", "member")
    granted = await world.grant(session)
    await world.send(session)
    return Effect(lines=[("member.leave", bob.user_id)], notified={f"user:{bob.user_id}"}, mirrored={granted})


async def create_invite(world: World) -> Effect:
    await world.send(world.ann.session, {"email": "new@example.com", "scope": "member"})
    return Effect(lines=[("invite.create", "new@example.com")])


async def delete_invite(world: World) -> Effect:
    await world.send(world.ann.session)
    return Effect(lines=[("invite.withdraw", world.ann.ids["email"])])


async def accept_invite(world: World) -> Effect:
    bob, session = await world.join("bob", "member")
    await world.api.call("DELETE", f"{world.path}/members/{bob.user_id}", world.ann.session)
    token = await world.invite(world.ann.session, bob.email)
    await world.send(session, {"token": token})
    return Effect(lines=[("invite.accept", bob.user_id)], notified={f"user:{bob.user_id}"})


async def grant_token(world: World) -> Effect:
    # It changes nothing that anybody has to know of: the token is in Redis before the response, or there is none.
    await world.send(world.ann.session, {"project_id": world.ann.tenant.project_id})
    return Effect()


async def change_limits(world: World) -> Effect:
    return await _of_project(world, "project.limits", {"requests_per_minute": 7})


async def change_limits_to_what_they_are(world: World) -> Effect:
    root, body = await world.operator(), {"requests_per_minute": 7}
    await world.api.call("PATCH", f"/v1/operator/projects/{world.ann.tenant.project_id}/limits", root, body)
    await world.send(root, body)
    project_id = world.ann.tenant.project_id
    return Effect(mirrored={f"project:{project_id}", await world.record_of_account(project_id)})


async def move_project(world: World) -> Effect:
    bob = await make_tenant(world.api, "bob")
    account = await world.record_of_account(bob.project_id)
    await world.send(await world.operator(), {"account_id": account.removeprefix("account:")})
    project_id = world.ann.tenant.project_id
    project = f"project:{project_id}"
    return Effect(lines=[("project.move", project_id)], notified={project}, mirrored={project, account})


async def move_project_to_where_it_is(world: World) -> Effect:
    project_id = world.ann.tenant.project_id
    account = await world.record_of_account(project_id)
    await world.send(await world.operator(), {"account_id": account.removeprefix("account:")})
    return Effect(mirrored={f"project:{project_id}", account})


async def change_own_limits(world: World) -> Effect:
    return await _of_project(world, "project.own_limits", {"monthly_budget_micros": 7}, world.ann.session)


async def change_own_limits_to_what_they_are(world: World) -> Effect:
    await world.send(world.ann.session, {"monthly_budget_micros": None})
    project_id = world.ann.tenant.project_id
    return Effect(mirrored={f"project:{project_id}", await world.record_of_account(project_id)})


async def change_key(world: World) -> Effect:
    key_id = world.ann.tenant.key_id
    await world.send(world.ann.session, {"requests_per_minute": 7})
    record = await world.record_of_key(key_id)
    return Effect(lines=[("key.limits", key_id)], notified={f"key:{key_id}"}, mirrored={record})


async def change_key_that_others_count_with(world: World) -> Effect:
    key_id = world.ann.tenant.key_id
    path = f"{world.path}/keys/{key_id}"
    await world.api.call("PATCH", path, world.ann.session, {"requests_per_minute": 7})
    new = (await world.api.call("POST", f"{path}/rotate", world.ann.session, {}, status=201))["api_key_id"]
    await world.send(world.ann.session, {"requests_per_minute": 8})
    records = {await world.record_of_key(key_id), await world.record_of_key(new)}
    return Effect(lines=[("key.limits", key_id)], notified={f"key:{key_id}"}, mirrored=records)


async def change_key_to_what_it_is(world: World) -> Effect:
    await world.send(world.ann.session, {"requests_per_minute": None})
    return Effect(mirrored={await world.record_of_key(world.ann.tenant.key_id)})


async def change_account_limits(world: World) -> Effect:
    await world.send(await world.operator(), {"requests_per_minute": 7})
    return await _of_account(world, "account.limits")


async def change_account_limits_to_what_they_are(world: World) -> Effect:
    await world.send(await world.operator(), {"requests_per_minute": None})
    project_id = world.ann.tenant.project_id
    return Effect(mirrored={f"project:{project_id}", await world.record_of_account(project_id)})


async def suspend_project(world: World) -> Effect:
    return await _of_project(world, "project.suspend", {"reason": "abuse"})


async def resume_project(world: World) -> Effect:
    path = f"/v1/operator/projects/{world.ann.tenant.project_id}/suspend"
    root = await world.operator()
    await world.api.call("POST", path, root)
    return await _of_project(world, "project.resume", None, root)


async def resume_an_active_project(world: World) -> Effect:
    await world.send(await world.operator())
    project_id = world.ann.tenant.project_id
    return Effect(mirrored={f"project:{project_id}", await world.record_of_account(project_id)})


async def _of_project(world: World, action: str, body: object, root: str | None = None) -> Effect:
    await world.send(root or await world.operator(), body)
    project = f"project:{world.ann.tenant.project_id}"
    account = await world.record_of_account(world.ann.tenant.project_id)
    return Effect(lines=[(action, world.ann.tenant.project_id)], notified={project}, mirrored={project, account})


async def grant_credit(world: World) -> Effect:
    await world.send(await world.operator(), credit_id=str(uuid.uuid4()))
    return await _of_account(world, "project.credit")


async def _of_account(world: World, action: str) -> Effect:
    project_id = world.ann.tenant.project_id
    account = await world.record_of_account(project_id)
    return Effect(lines=[(action, project_id)], notified={account}, mirrored={account})


async def grant_credit_twice(world: World) -> Effect:
    root, credit_id = await world.operator(), str(uuid.uuid4())
    await world.send(root, credit_id=credit_id)
    await world.send(root, credit_id=credit_id)
    return Effect()


async def add_price(world: World) -> Effect:
    begins = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    body = {"plan": "free", "service": "streaming", "micros_per_hour": 1, "effective_from": begins}
    price_id = (await world.send(await world.operator(), body))["price_id"]
    prices = {"prices:free"}
    return Effect(lines=[("price.add", str(price_id))], notified=prices, mirrored=prices)


async def change_plan(world: World) -> Effect:
    await world.send(await world.operator(), {"plan": "postpaid"})
    return await _of_account(world, "project.plan")


async def change_plan_to_what_it_is(world: World) -> Effect:
    root, body = await world.operator(), {"plan": "postpaid"}
    await world.api.call("PUT", f"/v1/operator/projects/{world.ann.tenant.project_id}/plan", root, body)
    await world.send(root, body)
    return Effect()


async def create_webhook(world: World) -> Effect:
    made = await world.send(world.ann.session, {"url": "http://127.0.0.1:9/?secret=1"})
    return Effect(lines=[("webhook.create", made["webhook_id"])])


async def update_webhook(world: World) -> Effect:
    await world.send(world.ann.session, {"description": "another"})
    return Effect(lines=[("webhook.change", world.ann.ids["webhook_id"])])


async def disable_webhook(world: World) -> Effect:
    await world.send(world.ann.session, {"enabled": False})
    return Effect(lines=[("webhook.change", world.ann.ids["webhook_id"])])


async def delete_webhook(world: World) -> Effect:
    await world.send(world.ann.session)
    return Effect(lines=[("webhook.delete", world.ann.ids["webhook_id"])])


async def rotate_webhook_secret(world: World) -> Effect:
    await world.send(world.ann.session)
    return Effect(lines=[("webhook.rotate", world.ann.ids["webhook_id"])])


async def send_test_event(world: World) -> Effect:
    await world.send(world.ann.session)
    return Effect(lines=[("webhook.test", world.ann.ids["webhook_id"])])


async def resend_delivery(world: World) -> Effect:
    await world.send(world.ann.session)
    return Effect(lines=[("webhook.resend", world.ann.ids["delivery_id"])])


async def change_alert_settings(world: World) -> Effect:
    await world.send(world.ann.session, {"balance_thresholds_micros": [1, 2]})
    return Effect(lines=[("account.alerts", world.ann.tenant.user_id)])


INCIDENT = {"title": "Words are late", "impact": "minor", "components": ["stream"], "message": "We look."}


async def open_incident(world: World) -> Effect:
    made = await world.send(await world.operator(), INCIDENT)
    return Effect(lines=[("incident.open", made["incident_id"])])


async def update_incident(world: World) -> Effect:
    return await _of_incident(world, "monitoring")


async def resolve_incident(world: World) -> Effect:
    return await _of_incident(world, "resolved")


async def _of_incident(world: World, state: str) -> Effect:
    root = await world.operator()
    made = await world.api.call("POST", "/v1/operator/incidents", root, INCIDENT, status=201)
    await world.send(root, {"state": state, "message": "It is repaired."}, incident_id=made["incident_id"])
    return Effect(lines=[(f"incident.{state}", made["incident_id"])])


async def record_canary_runs(world: World) -> Effect:
    # What was measured changes nothing that anybody has decided.
    root = await make_tenant(world.api, "root", operator=True)
    await world.send(root.key, {"runs": [{"began_ms": int(datetime.now(UTC).timestamp() * 1000), "stream": True}]})
    return Effect()


# By operation: what it is tried with. The first of each is the request with nothing special about it.
TRIED: dict[str, tuple[Callable[[World], Awaitable[Effect]], ...]] = {
    "move_project": (move_project, move_project_to_where_it_is),
    "change_own_limits": (change_own_limits, change_own_limits_to_what_they_are),
    "change_key": (change_key, change_key_that_others_count_with, change_key_to_what_it_is),
    "change_account_limits": (change_account_limits, change_account_limits_to_what_they_are),
    "create_account": (create_account, create_account_in_place_of_a_session),
    "create_session": (create_session, create_session_in_place_of_another),
    "delete_session": (delete_session,),
    "change_me": (change_me,),
    "delete_me": (delete_me,),
    "change_password": (change_password,),
    "use_password_reset": (use_password_reset,),
    "issue_password_reset": (issue_password_reset,),
    "create_project": (create_project,),
    "update_project": (update_project,),
    "delete_project": (delete_project,),
    "create_key": (create_key,),
    "delete_key": (delete_key, delete_key_and_what_it_made, delete_only_an_invite_that_a_revoked_key_made),
    "rotate_key": (rotate_key,),
    "update_member_scopes": (update_member_scopes, demote_a_member, demote_a_member_whose_keys_are_kept),
    "delete_member": (delete_member, delete_member_whose_keys_are_kept),
    "leave_project": (leave_project,),
    "create_invite": (create_invite,),
    "delete_invite": (delete_invite,),
    "accept_invite": (accept_invite,),
    "grant_token": (grant_token,),
    "change_limits": (change_limits, change_limits_to_what_they_are),
    "suspend_project": (suspend_project,),
    "resume_project": (resume_project, resume_an_active_project),
    "grant_credit": (grant_credit, grant_credit_twice),
    "add_price": (add_price,),
    "change_plan": (change_plan, change_plan_to_what_it_is),
    "create_webhook": (create_webhook,),
    "update_webhook": (update_webhook, disable_webhook),
    "delete_webhook": (delete_webhook,),
    "rotate_webhook_secret": (rotate_webhook_secret,),
    "send_test_event": (send_test_event,),
    "resend_delivery": (resend_delivery,),
    "change_alert_settings": (change_alert_settings,),
    "open_incident": (open_incident,),
    "update_incident": (update_incident, resolve_incident),
    "record_canary_runs": (record_canary_runs,),
}
MUTATING = {endpoint.operation_id: endpoint for endpoint in ENDPOINTS if endpoint.method != "GET"}


def test_every_route_that_may_change_something_is_tried() -> None:
    assert TRIED.keys() == MUTATING.keys()


@pytest.fixture
async def world(request: pytest.FixtureRequest, api: Api, database_url: str) -> AsyncIterator[World]:
    async with World.open(api, await settle(api, "ann"), MUTATING[request.param], database_url) as world:
        yield world


@pytest.mark.parametrize(
    ("world", "trial"),
    [pytest.param(name, trial, id=trial.__name__) for name, trials in TRIED.items() for trial in trials],
    indirect=["world"],
)
async def test_a_change_is_audited_and_notified_and_propagated_before_its_response(
    world: World, trial: Callable[[World], Awaitable[Effect]]
) -> None:
    expected = await trial(world)
    assert world.effect == expected


def nothing(_change: UnitOfWork) -> None:
    pass


def a_project_where_a_key_was_written(change: UnitOfWork) -> None:
    change.project("p", "project.rename")


def a_key_that_was_not_written(change: UnitOfWork) -> None:
    change.key("k", "key.revoke", project_id="p")


def only_that_a_session_ended(change: UnitOfWork) -> None:
    change.session_ended("u")


@pytest.mark.parametrize(
    ("statement", "declare"),
    [
        ("insert into users (email, email_key, name, password_hash) values ('b', 'b', 'b', '')", nothing),
        ("update users set name = 'b'", only_that_a_session_ended),
        ("delete from users", nothing),
        ("with gone as (delete from users returning 1) select * from gone", nothing),
        ("update users set name = 'b'", a_project_where_a_key_was_written),
        ("update users set name = 'b' where false", a_key_that_was_not_written),
        ("select 1 from users for update", a_key_that_was_not_written),
    ],
)
async def test_what_is_written_without_being_declared_or_declared_without_being_written_is_rolled_back(
    database: Database, statement: str, declare: Callable[[UnitOfWork], None]
) -> None:
    async with database.connection() as connection:
        await connection.execute("insert into users (email, email_key, name, password_hash) values ('a', 'a', 'a', '')")
    with pytest.raises(HalfDone):
        async with Changes(database).transaction(SYSTEM) as change:
            await change.connection.execute(statement)
            declare(change)
    async with database.connection() as connection:
        assert [row["name"] for row in await connection.fetch("select name from users")] == ["a"]
        assert await connection.fetchval("select count(*) from audit_log") == 0


async def test_only_what_the_transaction_itself_wrote_counts(database: Database) -> None:
    """A connection's earlier rows are still among the counters that PostgreSQL has not added up."""
    async with database.connection() as connection:
        for name in ("a", "b"):
            await connection.execute(
                "insert into users (email, email_key, name, password_hash) values ($1, $1, $1, '')", name
            )
    async with Changes(database).transaction(SYSTEM) as change:
        await change.connection.execute("select 1 from users for update")
        await change.connection.execute("update users set name = 'c' where false")
