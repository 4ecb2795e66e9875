"""Requests and responses of the endpoint for short-lived tokens."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from backend.api.endpoint import Body, ResponseModel

DEFAULT_SECONDS = 30.0
MAX_SECONDS = 3600.0


class GrantToken(Body):
    """A token to be granted."""

    ttl_seconds: float = Field(
        DEFAULT_SECONDS, ge=1, le=MAX_SECONDS, allow_inf_nan=False, description="Seconds that it is good for"
    )
    project_id: UUID | None = Field(None, description="The project to transcribe in; needed by a session, not by a key")


class CredentialDetails(ResponseModel):
    """The credential that a request was sent with. `api_key_id`: null for a session, which may do more elsewhere.

    `project_id`, `scopes`: an API key's own; of a session, its first project and what it may do there.
    """

    kind: Literal["key", "session"]
    api_key_id: str | None
    member_id: str | None
    project_id: str | None
    scopes: list[str]


class GrantedToken(ResponseModel):
    """A short-lived token. `expires_in`: seconds, fewer than requested if what granted it ends sooner."""

    access_token: str
    expires_in: float
