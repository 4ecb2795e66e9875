"""The members' refusals as the contract's errors."""

from backend.members.errors import (
    ERRORS,
    AlreadyMember,
    InviteGone,
    LastOwner,
    MemberGone,
    RoleTooHigh,
    TooManyMembers,
)


def test_each_refusal_has_its_status() -> None:
    assert {kind: error.status for kind, error in ERRORS.items()} == {
        MemberGone: 404,
        RoleTooHigh: 403,
        LastOwner: 409,
        AlreadyMember: 409,
        TooManyMembers: 409,
        InviteGone: 404,
    }
