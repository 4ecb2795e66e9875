"""Members and invites: who is in a project, as what, who is invited to join; roles changed, people removed."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from frontend.api import ApiRefusal, segment
from frontend.models import InviteList, IssuedToken, KeyList, Member, MemberList, Role
from frontend.page_views import UNUSABLE, PageView, in_project
from frontend.pages.keys import shown_key
from frontend.pages.projects import form_problem
from frontend.rendering import go

# Role → what it lets people do, the least first.
ROLES: Final[tuple[tuple[Role, str], ...]] = (
    ("member", "Transcribes in the playground and looks at keys, usage and members."),
    ("admin", "Also creates and revokes keys, invites people and renames the project."),
    ("owner", "Also reads the audit log and deletes the project."),
)
# Scopes of keys that a member may not have.
_MANAGING: Final = frozenset({"keys:write", "members:write", "project:write", "admin", "owner"})
_RANK: Final = {role: rank for rank, (role, _) in enumerate(ROLES)}


@dataclass(frozen=True, slots=True)
class Person:
    """A row of the list. `changeable`: whether the reader may change or remove them."""

    member_id: str
    name: str
    email: str
    role: Role
    is_reader: bool
    changeable: bool


async def show(view: PageView) -> web.Response:
    """The members of the project and its open invites."""
    return await _list(view)


async def show_invite(view: PageView) -> web.Response:
    """The form for an invite."""
    return _invite_form(view, {})


async def invite(view: PageView) -> web.Response:
    """Invite someone; the code is on this page and never again."""
    fields = await view.form()
    wanted = {"email": fields.get("email", ""), "scope": fields.get("role", "")}
    try:
        made = await view.api.make("POST", f"{view.api_path}/invites", IssuedToken, wanted)
    except ApiRefusal as refusal:
        return _invite_form(view, fields, _problem(refusal))
    return await _list(view, made={"token": made.token, "expires": made.expires, **wanted})


async def withdraw(view: PageView) -> web.Response:
    """Withdraw an invite. The address is in the form, not in a page's URL."""
    email = (await view.form()).get("email", "")
    if "@" not in email:  # no address; as a part of the API's path it would name something else
        return await _list(view, problem="Choose the invite to withdraw in the list.")
    try:
        await view.api.send("DELETE", f"{view.api_path}/invites/{segment(email)}")
    except ApiRefusal as refusal:
        return await _list(view, problem=_problem(refusal))
    return go(view.request, f"{view.path}/members", notice="invite-withdrawn")


async def show_role(view: PageView) -> web.Response:
    """The form for another role."""
    return await _person_page(view, "member_role.html", await _person(view))


async def change_role(view: PageView) -> web.Response:
    """Give a member another role."""
    person = await _person(view)
    fields = await view.form()
    path = f"{view.api_path}/members/{segment(person.member_id)}/scopes"
    try:
        await view.api.send("PUT", path, {"scope": fields.get("role", "")}, _keys(fields))
    except ApiRefusal as refusal:
        return await _person_page(view, "member_role.html", person, _problem(refusal))
    return go(view.request, f"{view.path}/members", notice="role-changed")


async def show_remove(view: PageView) -> web.Response:
    """The warning before a member is removed."""
    return await _person_page(view, "member_remove.html", await _person(view))


async def remove(view: PageView) -> web.Response:
    """Remove a member."""
    person = await _person(view)
    try:
        path = f"{view.api_path}/members/{segment(person.member_id)}"
        await view.api.send("DELETE", path, query=_keys(await view.form()))
    except ApiRefusal as refusal:
        return await _person_page(view, "member_remove.html", person, _problem(refusal))
    return go(view.request, f"{view.path}/members", notice="member-removed")


async def _list(view: PageView, *, made: dict[str, str] | None = None, problem: str = "") -> web.Response:
    people, invites = await asyncio.gather(_people(view), view.api.get(f"{view.api_path}/invites", InviteList))
    return view.render(
        "members.html",
        section="members",
        status=UNUSABLE if problem else 200,
        people=people,
        invites=invites.invites,
        made=made,
        problem=problem,
        changes=any(person.changeable for person in people),
    )


async def _people(view: PageView) -> list[Person]:
    found = await view.api.get(f"{view.api_path}/members", MemberList)
    return [_shown(view, member) for member in found.members]


async def _person(view: PageView) -> Person:
    """The member that the path names, or 404."""
    member_id = view.request.match_info["member_id"]
    for person in await _people(view):
        if person.member_id == member_id:
            return person
    raise web.HTTPNotFound


def _shown(view: PageView, member: Member) -> Person:
    own = view.project
    return Person(
        member_id=member.member_id,
        name=f"{member.first_name} {member.last_name}".strip(),
        email=member.email,
        role=member.role,
        is_reader=member.member_id == view.user.user_id,
        changeable=own.manages and _RANK[member.role] <= _RANK[own.role],
    )


def _grantable(view: PageView) -> list[tuple[Role, str]]:
    """The roles that the reader can give: never a higher one than their own."""
    return [(role, words) for role, words in ROLES if _RANK[role] <= _RANK[view.project.role]]


def _invite_form(view: PageView, fields: dict[str, str], problem: str = "") -> web.Response:
    values = {"email": fields.get("email", ""), "role": fields.get("role", "member")}
    return view.panel("member_invite.html", section="members", problem=problem, values=values, roles=_grantable(view))


async def _person_page(view: PageView, template: str, person: Person, problem: str = "") -> web.Response:
    """A form about a member, with those of their good keys that it may end."""
    found, now = await view.api.get(f"{view.api_path}/keys", KeyList, status="active"), datetime.now(UTC)
    keys = [shown_key(item, now) for item in found.api_keys]
    theirs = [key for key in keys if key.creator_id == person.member_id]
    if template == "member_role.html":
        theirs = [key for key in theirs if _MANAGING & set(key.scopes)]
    return view.panel(template, section="members", problem=problem, person=person, roles=_grantable(view), keys=theirs)


def _keys(fields: dict[str, str]) -> dict[str, str] | None:
    """What a form says of a member's keys, as the API's query."""
    return {"keys": "keep"} if fields.get("keys") == "keep" else None


def _problem(refusal: ApiRefusal) -> str:
    """As for any form, and here a role that is too high and somebody who has left are the form's own faults too."""
    return refusal.message if refusal.status in {403, 404} else form_problem(refusal)


ROUTES: Final = (
    web.get("/projects/{project_id}/members", in_project(show)),
    web.get("/projects/{project_id}/members/invite", in_project(show_invite)),
    web.post("/projects/{project_id}/members/invite", in_project(invite)),
    web.post("/projects/{project_id}/members/withdraw", in_project(withdraw)),
    web.get("/projects/{project_id}/members/{member_id}/role", in_project(show_role)),
    web.post("/projects/{project_id}/members/{member_id}/role", in_project(change_role)),
    web.get("/projects/{project_id}/members/{member_id}/remove", in_project(show_remove)),
    web.post("/projects/{project_id}/members/{member_id}/remove", in_project(remove)),
)
