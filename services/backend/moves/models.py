"""Requests and responses of moves."""

from uuid import UUID

from pydantic import Field

from backend.api.endpoint import Change, OwnBody


class MoveProject(OwnBody):
    """Where a project is to belong."""

    account_id: UUID = Field(
        description="The billing account's id, as the limits of its projects have it", strict=False
    )


class MovedProject(Change):
    """Where a project belongs now. `moved_micros`: charges of open months, which moved along."""

    account_id: str
    moved_micros: int
