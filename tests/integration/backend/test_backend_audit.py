"""The audit log over HTTP: every change with who and when, for owners alone, in pages that do not shift."""

from backend.api.endpoint import SYSTEM
from backend.audit import repository
from tests.integration.conftest import Api, Tenant, sign_in


async def test_an_owner_reads_who_changed_what_and_by_which_request(api: Api, ann: Tenant) -> None:
    session = await sign_in(api, ann.email)
    path = f"/v1/projects/{ann.project_id}"
    await api.call("PATCH", path, session, {"name": "Call centre"})
    made = await api.call("POST", f"{path}/keys", ann.key, {"comment": "robot", "scopes": ["usage:write"]})
    await api.call("DELETE", f"{path}/keys/{made['api_key_id']}", session)
    entries = (await api.call("GET", f"{path}/audit", session))["entries"]
    revoked, created, renamed, first_key, made_project = entries
    user = {"kind": "user", "id": ann.user_id, "name": ann.email}
    assert (renamed["action"], renamed["actor"]) == ("project.rename", user)
    assert renamed["detail"] == {"name": "Call centre", "before": "ann's project"}
    assert created["actor"] == {"kind": "key", "id": ann.key_id, "name": "all"}
    assert (created["action"], created["target"]) == ("key.create", made["api_key_id"])
    assert (revoked["action"], revoked["detail"]) == ("key.revoke", {"comment": "robot"})
    assert revoked["request_id"]
    assert made_project["actor"] == first_key["actor"] == {"kind": "system", "id": None, "name": None}
    assert made["key"] not in str(entries)


async def test_only_owners_read_it(api: Api, ann: Tenant, bob: Tenant) -> None:
    owner, other = await sign_in(api, ann.email), await sign_in(api, bob.email)
    path = f"/v1/projects/{ann.project_id}"
    await api.call("GET", f"{path}/audit", ann.key, status=403)
    await api.call("GET", f"{path}/audit", other, status=404)
    invite = await api.call("POST", f"{path}/invites", owner, {"email": bob.email, "scope": "admin"})
    await api.call("POST", "/v1/invites/accept", other, {"token": invite["token"]})
    await api.call("GET", f"{path}/audit", other, status=403)
    await api.call("PUT", f"{path}/members/{bob.user_id}/scopes", owner, {"scope": "owner"})
    actions = [entry["action"] for entry in (await api.call("GET", f"{path}/audit", other))["entries"]]
    assert actions[:3] == ["member.change", "invite.accept", "invite.create"]
    assert invite["token"] not in str(actions)


async def test_pages_show_every_entry_once_whatever_is_added_meanwhile(api: Api, ann: Tenant, bob: Tenant) -> None:
    session = await sign_in(api, ann.email)
    async with api.database.transaction() as connection:
        for number in range(5):
            await repository.record(connection, SYSTEM, f"test.{number}", "x", project_id=ann.project_id)
            await repository.record(connection, SYSTEM, "test.other", "x", project_id=bob.project_id)
    path = f"/v1/projects/{ann.project_id}/audit?limit=2"
    seen: list[str] = []
    page = await api.call("GET", path, session)
    while True:
        seen += [entry["action"] for entry in page["entries"]]
        if page["next_page_token"] is None:
            break
        async with api.database.transaction() as connection:
            await repository.record(connection, SYSTEM, "test.late", "x", project_id=ann.project_id)
        page = await api.call("GET", f"{path}&page_token={page['next_page_token']}", session)
    assert seen == ["test.4", "test.3", "test.2", "test.1", "test.0", "key.create", "project.create"]
    for unusable in ("limit=0", "limit=201", "page_token=x", "page_token=-1"):
        await api.call("GET", f"/v1/projects/{ann.project_id}/audit?{unusable}", session, status=400)
