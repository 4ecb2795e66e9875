"""The operators' pages: what runs on the platform, every project with its limits, and the ways to act on one."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid4

from aiohttp import web

from frontend import limit_fields
from frontend.api import ApiRefusal
from frontend.limit_fields import PLAN_FIELDS
from frontend.models import AccountPlan, Credits, IssuedToken, Limits, LiveLanes, OperatedProject, OperatedProjects
from frontend.page_views import UNUSABLE, PageView, operator_only
from frontend.pages.projects import form_problem
from frontend.rendering import go

PAGE: Final = 50
# By the API's names.
PLANS: Final = {"free": "Free", "prepaid": "Prepaid", "postpaid": "Postpaid"}
STATES: Final = {"": "Any state", "active": "Active", "suspended": "Suspended"}
_LONGEST_SEARCH: Final = 254
_NO_CREDIT: Final = "A credit is a number of dollars: 50, or -12.50, or 1,000."


async def show(view: PageView) -> web.Response:
    """What runs by lane, and a page of projects, newest first."""
    given = view.request.query
    search, state = given.get("q", "").strip()[:_LONGEST_SEARCH], given.get("state", "")
    state = state if state in STATES else ""
    token = given.get("page_token")
    live, found = await asyncio.gather(
        view.api.get("/v1/operator/live", LiveLanes),
        view.api.get("/v1/operator/projects", OperatedProjects, q=search, state=state, limit=PAGE, page_token=token),
    )
    return view.render(
        "operator.html",
        section="operator",
        lanes=live.lanes,
        projects=found.projects,
        next_token=found.next_page_token,
        first_page=token is None,
        search=search,
        state=state,
        states=STATES,
    )


async def show_project(view: PageView) -> web.Response:
    """One project: its figures, its limits, its billing account, and whether it may run."""
    return await project_page(view)


async def change_limits(view: PageView) -> web.Response:
    """Give a project other limits; an empty field lifts one."""
    fields = await view.form()
    try:
        wanted = limit_fields.wanted(fields, PLAN_FIELDS)
    except ValueError:
        return await project_page(view, "limits", limit_fields.PROBLEM, values=fields)
    try:
        await view.api.send("PATCH", f"{api_path(view)}/limits", wanted)
    except ApiRefusal as refusal:
        return await project_page(view, "limits", form_problem(refusal), values=fields)
    return go(view.request, page_path(view), notice="limits-changed")


async def suspend(view: PageView) -> web.Response:
    """Let nothing of a project run any more."""
    reason = (await view.form()).get("reason", "")
    return await _act(view, "suspend", {"reason": reason}, "project-suspended")


async def resume(view: PageView) -> web.Response:
    """Let a suspended project go on."""
    return await _act(view, "resume", None, "project-resumed")


async def grant_credit(view: PageView) -> web.Response:
    """Credit a project, once however often the form is sent: the id of the credit came with it."""
    fields = await view.form()
    typed = {name: fields.get(name, "") for name in ("amount", "note")}
    try:
        amount, credit_id = limit_fields.dollars(typed["amount"]), str(UUID(fields.get("credit_id", "")))
    except ValueError:
        return await project_page(view, "credit", _NO_CREDIT, credit=typed)
    try:
        body = {"amount_micros": amount, "note": typed["note"]}
        await view.api.send("PUT", f"{api_path(view)}/credits/{credit_id}", body)
    except ApiRefusal as refusal:
        return await project_page(view, "credit", form_problem(refusal), credit=typed)
    return go(view.request, page_path(view), notice="credit-granted")


async def show_reset(view: PageView) -> web.Response:
    """The form for a person who has forgotten their password."""
    return _reset_page(view)


async def issue_reset(view: PageView) -> web.Response:
    """A code that sets a new password once; it is on this page and never again."""
    email = (await view.form()).get("email", "")
    try:
        made = await view.api.make("POST", "/v1/operator/password-resets", IssuedToken, {"email": email})
    except ApiRefusal as refusal:
        return _reset_page(view, email, problem=refusal.message if refusal.status == 404 else form_problem(refusal))
    return _reset_page(view, email, made=made)


async def project_page(
    view: PageView,
    form: str = "",
    problem: str = "",
    *,
    values: Mapping[str, str] | None = None,
    credit: Mapping[str, str] | None = None,
    account_values: Mapping[str, str] | None = None,
    target: str = "",
    reason: str = "",
) -> web.Response:
    """A project's page. `form`: whose `problem` it is.

    The others are what was typed: limits, a credit, the account's limits, the account to move to, why it is suspended.
    """
    found, account, limits, plan = await asyncio.gather(
        view.api.get(api_path(view), OperatedProject),
        view.api.get(f"{api_path(view)}/credits", Credits),
        view.api.get(f"{api_path(view)}/limits", Limits),
        view.api.get(f"{api_path(view)}/plan", AccountPlan),
    )
    if values is None:
        values = limit_fields.values(found.limits, PLAN_FIELDS)
    if account_values is None:
        account_values = limit_fields.values(limits.account)
    return view.render(
        "operator_project.html",
        section="operator",
        status=UNUSABLE if problem else 200,
        shown=found,
        account=account,
        values={field: values.get(field, "") for field in PLAN_FIELDS},
        credit={"credit_id": str(uuid4()), "amount": "", "note": "", **(credit or {})},
        limited=limits.account,
        account_values={field: account_values.get(field, "") for field in limit_fields.FIELDS},
        target=target,
        reason=reason,
        plan=plan,
        plans=PLANS,
        page_path=page_path(view),
        is_member=any(project.project_id == found.project_id for project in view.projects),
        form=form,
        problem=problem,
    )


async def _act(view: PageView, action: str, body: Mapping[str, Any] | None, notice: str) -> web.Response:
    try:
        await view.api.send("POST", f"{api_path(view)}/{action}", body)
    except ApiRefusal as refusal:
        return await project_page(view, "state", form_problem(refusal), reason=(body or {}).get("reason", ""))
    return go(view.request, page_path(view), notice=notice)


def _reset_page(view: PageView, email: str = "", *, made: IssuedToken | None = None, problem: str = "") -> web.Response:
    return view.panel("operator_reset.html", section="operator", problem=problem, email=email, made=made)


def _project_id(view: PageView) -> str:
    """The project that the path names. Raises HTTPNotFound for what is no id."""
    try:
        return str(UUID(view.request.match_info["project_id"]))
    except ValueError:
        raise web.HTTPNotFound from None


def api_path(view: PageView) -> str:
    """Where the API keeps the project that the path names. Raises HTTPNotFound."""
    return f"/v1/operator/projects/{_project_id(view)}"


def page_path(view: PageView) -> str:
    """Where the console keeps it."""
    return f"/operator/projects/{_project_id(view)}"


ROUTES: Final = (
    web.get("/operator", operator_only(show)),
    web.get("/operator/reset", operator_only(show_reset)),
    web.post("/operator/reset", operator_only(issue_reset)),
    web.get("/operator/projects/{project_id}", operator_only(show_project)),
    web.post("/operator/projects/{project_id}/limits", operator_only(change_limits)),
    web.post("/operator/projects/{project_id}/credits", operator_only(grant_credit)),
    web.post("/operator/projects/{project_id}/suspend", operator_only(suspend)),
    web.post("/operator/projects/{project_id}/resume", operator_only(resume)),
)
