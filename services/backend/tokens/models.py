"""Requests and responses of the endpoint for short-lived tokens."""

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


class GrantedToken(ResponseModel):
    """A short-lived token. `expires_in`: seconds, fewer than requested if what granted it ends sooner."""

    access_token: str
    expires_in: float
