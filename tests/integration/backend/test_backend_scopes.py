"""What scopes and roles let through, for every route of the table: what is needed suffices, and nothing less does."""

from typing import get_args

from aldea import credentials
from backend.accounts import repository as accounts
from backend.api.access import ROLE_SCOPES, SCOPES, InProject, Role
from backend.api.endpoint import SYSTEM, Endpoint
from backend.changes import Changes
from backend.keys.service import create_key
from backend.projects.repository import insert_membership
from tests.integration.conftest import Api
from tests.support.estates import IN_PROJECT, Estate, body_of, query_of, settle


async def status_of(api: Api, endpoint: Endpoint, estate: Estate, credential: str) -> int:
    path = endpoint.path.format(**estate.ids) + query_of(endpoint)
    headers = {"Authorization": f"Bearer {credential}"}
    async with api.client.request(endpoint.method, path, headers=headers, json=body_of(endpoint)) as response:
        return response.status


def guard_of(endpoint: Endpoint) -> InProject:
    assert isinstance(endpoint.access, InProject)
    return endpoint.access


async def test_a_key_needs_the_scope_of_each_route_and_no_other(api: Api) -> None:
    estate = await settle(api, "ann")
    keys = {}
    async with Changes(api.database).transaction(SYSTEM) as change:
        for scope in SCOPES:
            for kind, scopes in (("only", {scope}), ("without", SCOPES - {scope})):
                new = await create_key(change, estate.tenant.project_id, None, comment="", scopes=sorted(scopes))
                keys[kind, scope] = new.text
    for endpoint in IN_PROJECT:
        guard = guard_of(endpoint)
        if guard.scope not in SCOPES or guard.signed_in:
            # For people: a key that may do everything else is refused.
            assert await status_of(api, endpoint, estate, estate.tenant.key) == 403, endpoint.operation_id
            continue
        assert await status_of(api, endpoint, estate, keys["without", guard.scope]) == 403, endpoint.operation_id
        if endpoint.method == "GET":
            assert await status_of(api, endpoint, estate, keys["only", guard.scope]) == 200, endpoint.operation_id


async def test_a_member_may_what_their_role_says_on_every_route(api: Api) -> None:
    estate = await settle(api, "ann")
    refused = 0
    for role in get_args(Role):
        member = (await settle(api, f"a-{role}")).tenant
        session = credentials.mint_session()
        async with api.database.transaction() as connection:
            await insert_membership(connection, estate.tenant.project_id, member.user_id, role)
            await accounts.insert_session(connection, session.sha256, member.user_id, 1)
        for endpoint in IN_PROJECT:
            allowed = guard_of(endpoint).scope in ROLE_SCOPES[role]
            if not allowed:
                assert await status_of(api, endpoint, estate, session.text) == 403, f"{role}: {endpoint.operation_id}"
                refused += 1
            elif endpoint.method == "GET":
                assert await status_of(api, endpoint, estate, session.text) == 200, f"{role}: {endpoint.operation_id}"
    assert refused > 10
