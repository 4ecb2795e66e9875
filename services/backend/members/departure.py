"""What follows when a member is removed, leaves or is demoted: nothing that they made lets them back in.

In the transaction of the change: their invites are withdrawn, and their keys are revoked as far as these may do more
than the member may from now on. An owner can have the keys kept: then they count as an owner's, and may only do what
every member may, since whoever was removed still knows their text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from backend.api.access import ROLE_SCOPES, Role, expand
from backend.changes import UnitOfWork
from backend.keys import repository as keys
from backend.keys.service import revoke_key
from backend.members import repository

# What a kept key may still do: nothing that changes keys, members or the project.
KEPT_SCOPES: Final = ROLE_SCOPES["member"]


@dataclass(slots=True, kw_only=True)
class Departure:
    """What a change of a member did to what they had made. Invites are addresses."""

    revoked: list[keys.MembersKey] = field(default_factory=list)
    kept: list[keys.MembersKey] = field(default_factory=list)
    invites: list[str] = field(default_factory=list)
    propagated: bool = False


def kept_scopes(scopes: Sequence[str]) -> list[str]:
    """What is left of a key's scopes when it is kept, in a stable order."""
    return sorted(expand(scopes) & KEPT_SCOPES)


def exceeds(scopes: Sequence[str], role: Role | None) -> bool:
    """Whether a key may do more than its member may from now on. None: they are no member any more."""
    return role is None or not expand(scopes) <= ROLE_SCOPES[role]


async def settle(
    change: UnitOfWork, project_id: str, user_id: str, *, role: Role | None, heir: str | None
) -> Departure:
    """Withdraw a member's invites and end their keys, in a transaction that has locked the project.

    `role`: what they are from now on, None: no member. `heir`: whose their keys are to be, None: nobody's.
    """
    done = Departure(invites=await repository.remove_invites_by(change.connection, project_id, user_id))
    for email in done.invites:
        change.unmirrored("invites", "invite.withdraw", email, project_id=project_id, invited_by=user_id)
    for key in await keys.of_member(change.connection, project_id, user_id):
        if not exceeds(key.scopes, role):
            continue
        scopes = kept_scopes(key.scopes)
        if heir is None or not scopes:
            await revoke_key(change, project_id, key.key_id, made_by=user_id)
            done.revoked.append(key)
            continue
        await keys.hand_over(change.connection, key.key_id, heir, scopes)
        change.key(
            key.key_id,
            "key.keep",
            project_id=project_id,
            comment=key.comment,
            made_by=user_id,
            scopes=scopes,
        )
        done.kept.append(key)
    return done
