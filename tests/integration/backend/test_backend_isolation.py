"""No id of one project reads or writes another's: every route of the table, with every id that it can name."""

from itertools import product
from urllib.parse import urlencode
from uuid import UUID

import pytest

from backend.api.access import AnyCaller, Operator, Public, SignedIn
from backend.api.endpoint import Endpoint
from backend.app import ENDPOINTS
from tests.integration.conftest import Api
from tests.support.estates import IN_PROJECT, SHARED, Estate, body_of, named, query_of, settle


@pytest.fixture
async def hers(api: Api) -> Estate:
    return await settle(api, "ann")


@pytest.fixture
async def his(api: Api) -> Estate:
    return await settle(api, "bob")


async def everything(api: Api, estate: Estate) -> list[str]:
    """All rows that belong to a tenant, in whatever table, but for what the backend itself changes meanwhile."""
    rows: list[str] = []
    async with api.database.connection() as connection:
        tables = await connection.fetch(
            """
            select table_name from information_schema.columns join information_schema.tables using (table_name)
            where column_name in ('project_id', 'user_id') and table_type = 'BASE TABLE'
                and information_schema.tables.table_schema = 'public'
                and table_name not in ('alert_moves', 'alert_events')
            group by 1
            """
        )
        assert {"projects", "api_keys", "memberships", "invites", "audit_log"} <= {table[0] for table in tables}
        for table in tables:
            shown = "(to_jsonb(t) - 'last_used' - 'failing_since')::text"
            query = f"select {shown} from {table[0]} t where to_jsonb(t)::text ~ $1"
            found = await connection.fetch(query, f"{estate.tenant.project_id}|{estate.tenant.user_id}")
            rows += sorted(row[0] for row in found)
    return rows


def test_everything_that_a_path_can_name_is_tried() -> None:
    names = {name for endpoint in ENDPOINTS for name in named(endpoint)}
    own = {"project_id", "key_id", "member_id", "balance_id", "credit_id", "request_id", "email"}
    assert names == own | {"webhook_id", "delivery_id"} | SHARED
    for endpoint in ENDPOINTS:
        # Operators name whatever they look for.
        if "{project_id}" not in endpoint.path and not isinstance(endpoint.access, Operator):
            assert set(named(endpoint)) <= SHARED, endpoint.path


async def test_another_projects_id_is_not_found_and_nothing_of_it_changes(api: Api, hers: Estate, his: Estate) -> None:
    before = await everything(api, hers)
    assert len(before) > 10
    tried = 0
    for endpoint, credential in product(IN_PROJECT, his.credentials):
        path = endpoint.path.format(**hers.ids) + query_of(endpoint)
        status, response = await api.call(endpoint.method, path, credential, body_of(endpoint), status=None)
        assert (status, response["err_code"]) == (404, "PROJECT_NOT_FOUND"), endpoint.operation_id
        tried += 1
    assert tried == 2 * len(IN_PROJECT) > 50
    assert await everything(api, hers) == before


async def test_within_ones_own_project_no_id_reaches_into_another(api: Api, hers: Estate, his: Estate) -> None:
    before = await everything(api, hers)
    reached = [endpoint for endpoint in IN_PROJECT if len(named(endpoint)) > 1]
    assert len(reached) > 8
    for endpoint, credential in product(reached, his.credentials):
        for name in set(named(endpoint)[1:]) - SHARED:
            ids = {**his.ids, name: hers.ids[name]}
            path = endpoint.path.format(**ids) + query_of(endpoint)
            status, response = await api.call(endpoint.method, path, credential, body_of(endpoint), status=None)
            assert status == 404, f"{endpoint.operation_id} by {name}: {status} {response}"
    assert await everything(api, hers) == before


async def test_no_response_shows_anything_of_another_project(api: Api, hers: Estate, his: Estate) -> None:
    readable = [
        endpoint
        for endpoint in ENDPOINTS
        if endpoint.method == "GET" and not isinstance(endpoint.access, Operator | Public)
    ]
    shown = 0
    for endpoint, credential in product(readable, his.credentials):
        path = endpoint.path.format(**his.ids)
        for query in queries(endpoint, hers):
            async with api.client.get(path + query, headers={"Authorization": f"Bearer {credential}"}) as response:
                text = await response.text()
            assert not [mark for mark in hers.marks if mark in text], f"{endpoint.operation_id}{query}"
            shown += response.status == 200
    assert shown > len(readable)


def queries(endpoint: Endpoint, other: Estate) -> list[str]:
    """The plain query, and one for each parameter that can hold an id, with ids of the other tenant."""
    plain = query_of(endpoint)
    fields = {} if endpoint.query is None else endpoint.query.model_fields
    holding = [name for name, field in fields.items() if UUID.__name__ in str(field.annotation)]
    requested = [{name: found} for name, found in product(holding, other.ids.values()) if "@" not in found]
    if "tag" in fields:
        requested.append({"tag": "ann"})
    return [plain, *((f"{plain}&" if plain else "?") + urlencode(one) for one in requested)]


async def test_bodies_that_name_a_project_reach_no_other(api: Api, hers: Estate, his: Estate) -> None:
    naming = [endpoint for endpoint in ENDPOINTS if endpoint.body and "project_id" in endpoint.body.model_fields]
    assert [endpoint.operation_id for endpoint in naming] == ["grant_token"]
    for endpoint, credential in product(naming, his.credentials):
        body = {**body_of(endpoint), "project_id": hers.ids["project_id"]}
        await api.call(endpoint.method, endpoint.path, credential, body, status=404)


async def test_the_same_calls_reach_ones_own_project(api: Api) -> None:
    """The counter-test of those above: for the project's owner, each of these requests is accepted."""
    for endpoint in IN_PROJECT:
        owner = await settle(api, f"owner-{endpoint.operation_id}".replace("_", "-"))
        path = endpoint.path.format(**owner.ids) + query_of(endpoint)
        async with api.client.request(
            endpoint.method, path, headers={"Authorization": f"Bearer {owner.session}"}, json=body_of(endpoint)
        ) as response:
            # 409: the last owner cannot leave and cannot be demoted.
            assert response.status in {endpoint.status, 409}, f"{endpoint.operation_id}: {await response.text()}"


def test_what_names_no_project_is_the_callers_own_or_public_or_an_operators() -> None:
    for endpoint in ENDPOINTS:
        if "{project_id}" not in endpoint.path:
            assert isinstance(endpoint.access, AnyCaller | SignedIn | Public | Operator), endpoint.path


async def test_an_operators_route_is_no_way_around(api: Api, hers: Estate, his: Estate) -> None:
    before = await everything(api, hers)
    guarded = [endpoint for endpoint in ENDPOINTS if isinstance(endpoint.access, Operator)]
    for endpoint, credential in product(guarded, his.credentials):
        path = endpoint.path.format(**hers.ids) + query_of(endpoint)
        await api.call(endpoint.method, path, credential, body_of(endpoint), status=403)
    assert await everything(api, hers) == before
