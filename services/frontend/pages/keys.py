"""API keys: listed, created and shown once, rotated with an overlap, revoked after a warning."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiohttp import web

from aldea.service.payload import form
from frontend import limit_fields
from frontend.api import ApiRefusal, segment
from frontend.models import CreatedKey, KeyDetail, KeyList, ListedKey
from frontend.page_views import PageView, in_project
from frontend.pages.projects import form_problem
from frontend.rendering import go
from frontend.scopes import SCOPE_NAMES, SCOPES, named
from frontend.settings import SETTINGS
from frontend.snippets import snippets
from frontend.wording import parse_time

_DAY: Final = 86_400
LIFETIMES: Final = (("Never", 0), ("In 7 days", 7 * _DAY), ("In 30 days", 30 * _DAY), ("In 90 days", 90 * _DAY),
                    ("In a year", 365 * _DAY))  # fmt: skip
OVERLAPS: Final = (("At once", 0), ("In an hour", 3600), ("In a day", _DAY), ("In 7 days", 7 * _DAY))
DEFAULT_OVERLAP: Final = _DAY
# From then on the list warns that a key is about to end.
ENDS_SOON: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A row of the list. `status`: active, ends soon, expired. `made_by`: the id of the key that made it.

    `limits`: in words; `limited_as`: the id of the key whose limits these are.
    """

    key_id: str
    comment: str
    last4: str
    scopes: tuple[str, ...]
    tags: tuple[str, ...]
    created: str
    expires: str | None
    last_used: str | None
    creator: str | None
    creator_id: str | None
    made_by: str | None
    status: str
    limits: tuple[str, ...]
    limited_as: str | None


def shown_key(item: ListedKey, now: datetime) -> ShownKey:
    """A row from the API's."""
    key = item.api_key
    ends = parse_time(key.expiration_date)
    status = "active"
    if ends is not None:
        status = "expired" if ends <= now else "expires soon" if ends <= now + ENDS_SOON else "active"
    return ShownKey(
        key_id=key.api_key_id,
        comment=key.comment,
        last4=key.last4,
        scopes=tuple(key.scopes),
        tags=tuple(key.tags),
        created=key.created,
        expires=key.expiration_date,
        last_used=key.last_used,
        creator=item.member.email,
        creator_id=item.member.member_id,
        made_by=key.made_by,
        status=status,
        limits=tuple(limit_fields.in_words(key.limits)) if key.limits is not None else (),
        limited_as=key.limited_as,
    )


async def show(view: PageView) -> web.Response:
    """The keys of the project."""
    return await _list(view)


async def show_new(view: PageView) -> web.Response:
    """The form for a new key."""
    chosen = {name for name, _, usual in SCOPES if usual}
    return _form(view, {"comment": "", "tags": "", "lifetime": "0"}, chosen)


async def create(view: PageView) -> web.Response:
    """A new key; its text is on this page and never again."""
    fields = await view.form()
    scopes = (await form(view.request)).getall("scopes", [])
    if not scopes:
        return _form(view, fields, set(), "Choose at least one thing that the key may do.")
    wanted: dict[str, Any] = {
        "comment": fields.get("comment", ""),
        "scopes": scopes,
        "tags": [tag.strip() for tag in fields.get("tags", "").split(",") if tag.strip()],
    }
    if seconds := _chosen(fields, "lifetime", LIFETIMES, 0):
        wanted["time_to_live_in_seconds"] = seconds
    try:
        limits = limit_fields.wanted(fields)
    except ValueError:
        return _form(view, fields, set(scopes), limit_fields.PROBLEM)
    wanted |= {name: limit for name, limit in limits.items() if limit is not None}
    try:
        made = await view.api.make("POST", f"{view.api_path}/keys", CreatedKey, wanted)
    except ApiRefusal as refusal:
        return _form(view, fields, set(scopes), form_problem(refusal))
    return await _list(view, made=made)


async def show_rotate(view: PageView) -> web.Response:
    """The form for a rotation."""
    return _key_page(view, "key_rotate.html", await _key(view))


async def rotate(view: PageView) -> web.Response:
    """A new key like the old one, which ends after the overlap."""
    fields = await view.form()
    key = await _key(view)
    overlap = _chosen(fields, "overlap", OVERLAPS, DEFAULT_OVERLAP)
    path = f"{view.api_path}/keys/{segment(key.key_id)}/rotate"
    try:
        made = await view.api.make("POST", path, CreatedKey, {"overlap_seconds": overlap})
    except ApiRefusal as refusal:
        return _key_page(view, "key_rotate.html", key, form_problem(refusal))
    return await _list(view, made=made)


async def show_limits(view: PageView) -> web.Response:
    """The form for a key's limits."""
    limits = (await _item(view)).api_key.limits
    return await _limits_form(view, {} if limits is None else limit_fields.values(limits))


async def change_limits(view: PageView) -> web.Response:
    """Give a key other limits; an empty field lifts one."""
    fields = await view.form()
    path = f"{view.api_path}/keys/{segment(view.request.match_info['key_id'])}"
    try:
        await view.api.send("PATCH", path, limit_fields.wanted(fields))
    except ValueError:
        return await _limits_form(view, fields, limit_fields.PROBLEM)
    except ApiRefusal as refusal:
        return await _limits_form(view, fields, form_problem(refusal))
    return go(view.request, f"{view.path}/keys", notice="limits-changed")


async def show_revoke(view: PageView) -> web.Response:
    """The warning before a key is revoked, with what it made."""
    key = await _key(view)
    found = await view.api.get(f"{view.api_path}/keys/{segment(key.key_id)}", KeyDetail)
    return _key_page(view, "key_revoke.html", key, made=found.made, invites=found.invites)


async def revoke(view: PageView) -> web.Response:
    """Revoke a key, and what it made if that was chosen."""
    path = f"{view.api_path}/keys/{segment(view.request.match_info['key_id'])}"
    children = "revoke" if (await view.form()).get("children") == "revoke" else None
    await view.api.send("DELETE", path, query={"children": children})
    return go(view.request, f"{view.path}/keys", notice="key-revoked")


async def _list(view: PageView, *, made: CreatedKey | None = None) -> web.Response:
    now = datetime.now(UTC)
    found = await view.api.get(f"{view.api_path}/keys", KeyList)
    keys = [shown_key(item, now) for item in reversed(found.api_keys)]
    names = {key.key_id: key.comment or key.last4 for key in keys}
    # A key's first request is made where the key is: only here is it known.
    shown = snippets(view.request.app[SETTINGS], made.key) if made and "usage:write" in made.scopes else ()
    return view.render(
        "keys.html",
        section="keys",
        keys=keys,
        names=names,
        scope_names=SCOPE_NAMES,
        named_scopes=named,
        made=made,
        snippets=shown,
    )


async def _key(view: PageView) -> ShownKey:
    """The key that the path names, or 404."""
    return shown_key(await _item(view), datetime.now(UTC))


async def _item(view: PageView) -> ListedKey:
    """The same as the API lists it."""
    key_id = view.request.match_info["key_id"]
    found = await view.api.get(f"{view.api_path}/keys", KeyList)
    for item in found.api_keys:
        if item.api_key.api_key_id == key_id:
            return item
    raise web.HTTPNotFound


def _form(view: PageView, fields: dict[str, str], chosen: set[str], problem: str = "") -> web.Response:
    values = {name: fields.get(name, "") for name in ("comment", "tags", "lifetime", *limit_fields.FIELDS)}
    return view.panel(
        "key_new.html", section="keys", problem=problem, values=values, chosen=chosen, scopes=SCOPES,
        lifetimes=LIFETIMES,
    )  # fmt: skip


async def _limits_form(view: PageView, fields: Mapping[str, str], problem: str = "") -> web.Response:
    values = {name: fields.get(name, "") for name in limit_fields.FIELDS}
    return _key_page(view, "key_limits.html", await _key(view), problem, values=values)


def _key_page(view: PageView, template: str, key: ShownKey, problem: str = "", **more: Any) -> web.Response:
    return view.panel(
        template, section="keys", problem=problem, key=key, overlaps=OVERLAPS, default_overlap=DEFAULT_OVERLAP, **more
    )


def _chosen(fields: dict[str, str], name: str, choices: tuple[tuple[str, int], ...], default: int) -> int:
    """The number chosen in a list; what is no choice of it counts as the default."""
    allowed = {str(value): value for _, value in choices}
    return allowed.get(fields.get(name, ""), default)


ROUTES: Final = (
    web.get("/projects/{project_id}/keys", in_project(show)),
    web.get("/projects/{project_id}/keys/new", in_project(show_new)),
    web.post("/projects/{project_id}/keys", in_project(create)),
    web.get("/projects/{project_id}/keys/{key_id}/rotate", in_project(show_rotate)),
    web.post("/projects/{project_id}/keys/{key_id}/rotate", in_project(rotate)),
    web.get("/projects/{project_id}/keys/{key_id}/limits", in_project(show_limits)),
    web.post("/projects/{project_id}/keys/{key_id}/limits", in_project(change_limits)),
    web.get("/projects/{project_id}/keys/{key_id}/revoke", in_project(show_revoke)),
    web.post("/projects/{project_id}/keys/{key_id}/revoke", in_project(revoke)),
)
