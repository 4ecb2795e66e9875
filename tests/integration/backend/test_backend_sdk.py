"""The official SDK's management client, unmodified, manages a project: typed responses, every field filled."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from deepgram import AsyncDeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from deepgram.types.create_key_v1response import CreateKeyV1Response
from deepgram.types.get_project_key_v1response import GetProjectKeyV1Response
from deepgram.types.get_project_v1response import GetProjectV1Response
from deepgram.types.list_project_invites_v1response_invites_item import ListProjectInvitesV1ResponseInvitesItem
from deepgram.types.list_project_keys_v1response_api_keys_item import ListProjectKeysV1ResponseApiKeysItem
from deepgram.types.list_project_members_v1response_members_item import ListProjectMembersV1ResponseMembersItem
from deepgram.types.list_projects_v1response_projects_item import ListProjectsV1ResponseProjectsItem

from backend.api.access import SCOPES
from tests.integration.conftest import Api, Tenant, sign_in


@pytest.fixture
async def client(backend_url: str, ann: Tenant) -> AsyncIterator[Any]:
    environment = DeepgramClientEnvironment(
        base=backend_url, production=backend_url, agent=backend_url, agent_rest=backend_url
    )
    async with httpx.AsyncClient(timeout=60) as http:
        yield AsyncDeepgramClient(api_key=ann.key, environment=environment, httpx_client=http)


def is_typed(found: Any, kind: type) -> None:
    """The SDK made one of its own types of a response, and nothing in it is left empty."""
    assert isinstance(found, kind)
    assert None not in vars(found).values(), found


@pytest.fixture
def sdk(client: Any) -> Any:
    return client.manage.v1.projects


async def test_projects_are_listed_got_and_updated(sdk: Any, ann: Tenant) -> None:
    [project] = (await sdk.list()).projects
    is_typed(project, ListProjectsV1ResponseProjectsItem)
    assert (project.project_id, project.name) == (ann.project_id, "ann's project")
    assert (await sdk.update(ann.project_id, name="Call centre")).message
    one = await sdk.get(ann.project_id)
    is_typed(one, GetProjectV1Response)
    assert (one.project_id, one.name, one.mip_opt_out) == (ann.project_id, "Call centre", True)


async def test_a_key_is_created_listed_got_and_deleted(sdk: Any, ann: Tenant) -> None:
    wanted = {"comment": "robot", "scopes": ["usage:write", "usage:read"], "tags": ["prod"]}
    made = await sdk.keys.create(ann.project_id, request={**wanted, "time_to_live_in_seconds": 600})
    is_typed(made, CreateKeyV1Response)
    assert {"comment": made.comment, "scopes": made.scopes, "tags": made.tags} == wanted
    assert made.key.startswith("org_")
    assert timedelta(0) < made.expiration_date - datetime.now(UTC) <= timedelta(seconds=600)

    listed = (await sdk.keys.list(ann.project_id, status="active")).api_keys
    assert [row.api_key.api_key_id for row in listed] == [ann.key_id, made.api_key_id]
    is_typed(listed[1], ListProjectKeysV1ResponseApiKeysItem)
    assert (listed[1].member.member_id, listed[1].member.email) == (ann.user_id, ann.email)
    assert (listed[1].api_key.comment, listed[1].api_key.scopes) == ("robot", wanted["scopes"])
    assert abs(listed[1].api_key.created - datetime.now(UTC)) < timedelta(minutes=1)

    one = await sdk.keys.get(ann.project_id, made.api_key_id)
    is_typed(one, GetProjectKeyV1Response)
    member = one.item.member
    assert (member.member_id, member.email, member.first_name, member.last_name) == (
        ann.user_id, ann.email, "ann", "Doe",
    )  # fmt: skip
    assert (member.api_key.api_key_id, member.api_key.tags) == (made.api_key_id, ["prod"])
    assert member.api_key.expiration_date == made.expiration_date

    assert await sdk.keys.delete(ann.project_id, made.api_key_id)
    with pytest.raises(ApiError) as missing:
        await sdk.keys.get(ann.project_id, made.api_key_id)
    assert missing.value.status_code == 404


async def test_members_and_their_scopes_are_listed_changed_and_removed(
    sdk: Any, api: Api, ann: Tenant, bob: Tenant
) -> None:
    owner, other = await sign_in(api, ann.email), await sign_in(api, bob.email)
    path = f"/v1/projects/{ann.project_id}"
    invite = await api.call("POST", f"{path}/invites", owner, {"email": bob.email, "scope": "member"})
    await api.call("POST", "/v1/invites/accept", other, {"token": invite["token"]})

    first, second = (await sdk.members.list(ann.project_id)).members
    is_typed(first, ListProjectMembersV1ResponseMembersItem)
    assert (first.member_id, first.email, first.first_name, first.last_name) == (
        ann.user_id, ann.email, "ann", "Doe",
    )  # fmt: skip
    assert set(first.scopes) == SCOPES
    assert second.member_id == bob.user_id
    assert (await sdk.members.scopes.list(ann.project_id, bob.user_id)).scopes == second.scopes
    assert (await sdk.members.scopes.update(ann.project_id, bob.user_id, scope="admin")).message
    assert set((await sdk.members.scopes.list(ann.project_id, bob.user_id)).scopes) == SCOPES
    assert (await sdk.members.delete(ann.project_id, bob.user_id)).message
    assert len((await sdk.members.list(ann.project_id)).members) == 1


async def test_invites_are_created_listed_and_deleted(sdk: Any, ann: Tenant) -> None:
    made = await sdk.members.invites.create(ann.project_id, email="bob@example.com", scope="member")
    assert made.message
    [invite] = (await sdk.members.invites.list(ann.project_id)).invites
    is_typed(invite, ListProjectInvitesV1ResponseInvitesItem)
    assert (invite.email, invite.scope) == ("bob@example.com", "member")
    assert (await sdk.members.invites.delete(ann.project_id, "bob@example.com")).message
    assert (await sdk.members.invites.list(ann.project_id)).invites == []


async def test_a_short_lived_token_is_granted(client: Any) -> None:
    granted = await client.auth.v1.tokens.grant(ttl_seconds=60)
    assert granted.access_token.startswith("ats_")
    assert granted.expires_in == 60.0


async def test_a_refusal_carries_the_contracts_body(sdk: Any, bob: Tenant) -> None:
    with pytest.raises(ApiError) as refused:
        await sdk.get(bob.project_id)
    assert (refused.value.status_code, refused.value.body["err_code"]) == (404, "PROJECT_NOT_FOUND")
    assert set(refused.value.body) == {"err_code", "err_msg", "request_id"}
