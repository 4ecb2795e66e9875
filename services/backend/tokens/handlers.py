"""The endpoint for short-lived tokens."""

from typing import Final

from aldea.errors import TooManyRequests
from aldea.headers import RATE_LIMITS
from backend.api.access import SCOPES, AnyCaller, KeyCaller
from backend.api.endpoint import Call, Endpoint
from backend.tokens import models
from backend.tokens.errors import ERRORS, CallerEnded, ForeignProject, MayNotTranscribe, ProjectNeeded
from backend.tokens.service import TOKENS


async def grant_token(call: Call) -> models.GrantedToken:
    """A token that opens transcriptions, and nothing else, for a short time. What it opened may outlive it.

    By an API key for its project, or by a session for one of its projects. When the key or session ends, or its user
    leaves the project, the token opens nothing any more and what it has open ends within 15 seconds.
    """
    body: models.GrantToken = call.body
    call.request[RATE_LIMITS] = await call.app[TOKENS].count(call.caller)
    project_id = None if body.project_id is None else str(body.project_id)
    token, seconds = await call.app[TOKENS].grant(call.caller, project_id, body.ttl_seconds)
    return models.GrantedToken(access_token=token, expires_in=seconds)


async def get_credential(call: Call) -> models.CredentialDetails:
    """What the credential of this very request is, and may do."""
    caller = call.caller
    key = caller if isinstance(caller, KeyCaller) else None
    project_id = next(iter(caller.project_ids), None)
    scopes = (caller.scopes_in(project_id) or frozenset()) if project_id is not None else frozenset()
    return models.CredentialDetails(
        kind="session" if key is None else "key",
        api_key_id=None if key is None else key.key_id,
        member_id=caller.user_id,
        project_id=project_id,
        scopes=sorted(scopes & SCOPES),
    )


ENDPOINTS: Final = (
    Endpoint(
        method="POST", path="/v1/auth/grant", handler=grant_token, access=AnyCaller(), tag="Short-lived tokens",
        errors=ERRORS, summary="Grant a short-lived token", body=models.GrantToken, body_optional=True,
        response=models.GrantedToken, raises=(ProjectNeeded, ForeignProject, MayNotTranscribe, CallerEnded),
        refuses=(TooManyRequests,),
    ),
    Endpoint(
        method="GET", path="/v1/auth/token", handler=get_credential, access=AnyCaller(), tag="Short-lived tokens",
        errors=ERRORS, summary="Get the present credential", response=models.CredentialDetails,
    ),
)  # fmt: skip
