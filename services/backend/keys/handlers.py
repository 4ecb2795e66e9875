"""The API keys' endpoints, in the public management API's shapes."""

from collections.abc import Sequence
from typing import Any, Final

from aldea.turns import in_turns
from backend.api.access import InProject
from backend.api.endpoint import Call, Endpoint, propagation
from backend.keys import models
from backend.keys.errors import ERRORS, ExpiryUnusable, KeyGone, LimitedCaller, ScopeTooWide, TooManyKeys
from backend.keys.repository import KeyRow, MadeKey
from backend.keys.service import KEYS, NewKey, expiry
from backend.limits.models import LimitSet
from backend.limits.repository import Limits


async def list_keys(call: Call) -> models.KeyList:
    """The keys of a project, oldest first. Their texts are not stored; `last4` helps to distinguish them."""
    query: models.KeyQuery = call.query
    rows = await call.app[KEYS].list(call.project_id, query.status)
    return models.KeyList(
        api_keys=[
            models.ListedKey(member=models.KeyMember(member_id=row.user_id, email=row.email), api_key=_api_key(row))
            async for row in in_turns(rows)
        ]
    )


async def create_key(call: Call) -> models.CreatedKey:
    """A new key. Its text is in this response and nowhere else. With `propagation: complete` it works from now on."""
    body: models.CreateKey = call.body
    new = await call.app[KEYS].create(
        call.caller,
        call.actor,
        call.project_id,
        comment=body.comment,
        scopes=list(dict.fromkeys(body.scopes)),
        tags=list(dict.fromkeys(body.tags)),
        expires=expiry(body.expiration_date, body.time_to_live_in_seconds),
        limits=Limits(
            body.requests_per_minute, body.concurrent_streams, body.monthly_audio_seconds, body.monthly_budget_micros
        ),
    )
    return models.CreatedKey(**_created(new))


async def get_key(call: Call) -> models.KeyDetail:
    """One key of a project, and what it made."""
    row, made, invites = await call.app[KEYS].get(call.project_id, call.parameters["key_id"])
    first, _, last = (row.user_name or "").partition(" ")
    member = models.NamedMember(member_id=row.user_id, email=row.email, first_name=first, last_name=last)
    api_key = _api_key(row)
    return models.KeyDetail(
        item=models.KeyItem(member=models.KeyOwner(**dict(member), api_key=api_key)),
        member=member,
        api_key=api_key,
        made=_made(made),
        invites=list(invites),
    )


async def delete_key(call: Call) -> models.RevokedKey:
    """Revoke a key. It is refused from now on, and its running requests end within 15 seconds.

    The response lists what the key made, which stays good unless `children=revoke` is sent, now or afterwards.
    """
    query: models.RevokeQuery = call.query
    key_id, children = call.parameters["key_id"], query.children == "revoke"
    done = await call.app[KEYS].revoke(call.caller, call.actor, call.project_id, key_id, children=children)
    left = (done.children or done.invites) and not children
    return models.RevokedKey(
        message="API key revoked." + (" What it made is still good; children=revoke ends that too." if left else ""),
        propagation=propagation(done.propagated),
        children=_made(done.children),
        invites=list(done.invites),
        children_revoked=children,
    )


async def rotate_key(call: Call) -> models.RotatedKey:
    """A new key like this one, which itself stays good for the overlap and then ends.

    The new key counts as the caller's. Rotated by another key, it ends with that key at the latest.
    """
    body: models.RotateKey = call.body
    key_id = call.parameters["key_id"]
    new = await call.app[KEYS].rotate(call.caller, call.actor, call.project_id, key_id, body.overlap_seconds)
    assert new.old_expires is not None
    return models.RotatedKey(**_created(new), replaces=key_id, old_key_expires=new.old_expires)


def _api_key(row: KeyRow) -> models.ApiKey:
    return models.ApiKey(
        api_key_id=row.key_id,
        comment=row.comment,
        scopes=row.scopes,
        tags=row.tags,
        created=row.created,
        expiration_date=row.expires,
        last4=row.last4,
        last_used=row.last_used,
        made_by=row.made_by_key,
        limits=LimitSet(
            requests_per_minute=row.requests_per_minute,
            concurrent_streams=row.concurrent_streams,
            monthly_audio_seconds=row.monthly_audio_seconds,
            monthly_budget_micros=row.monthly_budget_micros,
        ),
        limited_as=row.limited_as,
    )


def _made(rows: Sequence[MadeKey]) -> list[models.MadeKey]:
    return [models.MadeKey(api_key_id=row.key_id, comment=row.comment, expiration_date=row.expires) for row in rows]


def _created(new: NewKey) -> dict[str, Any]:
    return {
        "api_key_id": new.key_id,
        "key": new.text,
        "comment": new.comment,
        "scopes": new.scopes,
        "tags": new.tags,
        "created": new.created,
        "expiration_date": new.expires,
        "limits": LimitSet(**new.limits.to_dict()),
        "limited_as": new.limited_as,
        "propagation": propagation(new.propagated),
    }


_TAG: Final = "API keys"
_PATH: Final = "/v1/projects/{project_id}/keys"
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path=_PATH, handler=list_keys, access=InProject("keys:read"), tag=_TAG, errors=ERRORS,
        summary="List API keys", query=models.KeyQuery, response=models.KeyList,
    ),
    Endpoint(
        method="POST", path=_PATH, handler=create_key, access=InProject("keys:write"), tag=_TAG, errors=ERRORS,
        summary="Create an API key", body=models.CreateKey, response=models.CreatedKey,
        raises=(ScopeTooWide, TooManyKeys, ExpiryUnusable, LimitedCaller),
    ),
    Endpoint(
        method="GET", path=_PATH + "/{key_id}", handler=get_key, access=InProject("keys:read"), tag=_TAG,
        errors=ERRORS, summary="Get an API key", response=models.KeyDetail, raises=(KeyGone,),
    ),
    Endpoint(
        method="DELETE", path=_PATH + "/{key_id}", handler=delete_key, access=InProject("keys:write"), tag=_TAG,
        errors=ERRORS, summary="Revoke an API key", query=models.RevokeQuery, response=models.RevokedKey,
        raises=(KeyGone,),
    ),
    Endpoint(
        method="POST", path=_PATH + "/{key_id}/rotate", handler=rotate_key, access=InProject("keys:write"), tag=_TAG,
        errors=ERRORS, summary="Rotate an API key", body=models.RotateKey, body_optional=True,
        response=models.RotatedKey, status=201, raises=(KeyGone, ScopeTooWide, TooManyKeys, LimitedCaller),
    ),
)  # fmt: skip
