"""The endpoint for short-lived tokens."""

from typing import Final

from aldea.errors import TooManyRequests
from backend.api.access import AnyCaller
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
    project_id = None if body.project_id is None else str(body.project_id)
    token, seconds = await call.app[TOKENS].grant(call.caller, project_id, body.ttl_seconds)
    return models.GrantedToken(access_token=token, expires_in=seconds)


ENDPOINTS: Final = (
    Endpoint(
        method="POST", path="/v1/auth/grant", handler=grant_token, access=AnyCaller(), tag="Short-lived tokens",
        errors=ERRORS, summary="Grant a short-lived token", body=models.GrantToken, body_optional=True,
        response=models.GrantedToken, raises=(ProjectNeeded, ForeignProject, MayNotTranscribe, CallerEnded),
        refuses=(TooManyRequests,),
    ),
)  # fmt: skip
