"""Operations on limits. Each change is one transaction, then the write to Redis, then the response."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from aldea.postgres import Connection, Database
from backend.api.access import Caller, KeyCaller
from backend.api.authentication import still_allowed
from backend.api.endpoint import Actor
from backend.changes import Changes
from backend.keys.errors import KeyGone, LimitedCaller
from backend.limits import repository
from backend.limits.errors import AbovePlan
from backend.limits.mirrored import this_month
from backend.limits.repository import Limits, OfSomebody, Used
from backend.live.leases import Leases
from backend.projects import repository as projects
from backend.projects.errors import ProjectGone, no_such_project


@dataclass(frozen=True, slots=True)
class Overview:
    """A project's limits and what it uses. `running`: None while Redis is unavailable."""

    plan: Limits
    own: Limits
    account: OfSomebody
    used: Used
    account_used: Used
    running: int | None

    @property
    def effective(self) -> Limits:
        """What holds for the project by itself."""
        return narrower(self.plan, self.own)


class LimitService:
    """The limits of keys, projects and accounts."""

    def __init__(self, database: Database, changes: Changes, leases: Leases) -> None:
        self._database = database
        self._changes = changes
        self._leases = leases

    async def overview(self, project_id: str) -> Overview:
        """A project's limits, and how much of each is used now. Raises ProjectGone."""
        since = this_month().date()
        async with self._database.connection() as connection:
            plan = await repository.of_plan(connection, project_id)
            own = await repository.own(connection, project_id)
            account = await repository.of_account(connection, project_id)
            if plan is None or own is None or account is None:
                raise _gone()
            used = await repository.used(connection, project_id, since, whole_account=False)
            account_used = await repository.used(connection, project_id, since, whole_account=True)
        return Overview(plan, own, account, used, account_used, await self._leases.count(project_id))

    async def set_own(self, caller: Caller, actor: Actor, project_id: str, changes: Mapping[str, int | None]) -> bool:
        """Change a project's own limits (None lifts one); whether Redis knows already.

        Raises ProjectGone, AbovePlan, LimitedCaller.
        """
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            await projects.lock(connection, project_id)
            await still_allowed(connection, caller, project_id, "project:write")
            await check_caller(connection, caller, project_id)
            plan, own = await repository.of_plan(connection, project_id), await repository.own(connection, project_id)
            if plan is None or own is None:
                raise _gone()
            _check_plan(plan, changes)
            changed, before = _differences(own, changes)
            if changed:
                await repository.set_own(connection, project_id, replace(own, **changed))
                change.project(project_id, "project.own_limits", limits=changed, before=before)
            else:
                change.repeat_project(project_id)
        return change.propagated

    async def set_of_key(
        self, caller: Caller, actor: Actor, project_id: str, key_id: str, changes: Mapping[str, int | None]
    ) -> bool:
        """Change a key's limits (None lifts one), and those of the keys that count with it; whether Redis knows.

        Raises KeyGone, LimitedCaller.
        """
        async with self._changes.transaction(actor) as change:
            connection = change.connection
            await projects.lock(connection, project_id)
            await still_allowed(connection, caller, project_id, "keys:write")
            await check_caller(connection, caller, project_id)
            found = await repository.of_key(connection, project_id, key_id)
            if found is None:
                raise KeyGone("The project has no such API key, or it was revoked.")
            changed, before = _differences(found.limits, changes)
            if changed:
                family = await repository.set_of_key(connection, found.id, replace(found.limits, **changed))
                change.key(found.id, "key.limits", project_id=project_id, limits=changed, before=before)
                change.repeat_keys(*family)
            else:
                change.repeat_keys(key_id)
        return change.propagated

    async def set_of_account(self, actor: Actor, project_id: str, changes: Mapping[str, int | None]) -> bool:
        """Change the limits of a project's account (None lifts one); whether Redis knows. Raises ProjectGone."""
        async with self._changes.transaction(actor) as change:
            found = await repository.lock_account(change.connection, project_id)
            if found is None:
                raise no_such_project()
            changed, before = _differences(found.limits, changes)
            if changed:
                await repository.set_of_account(change.connection, found.id, replace(found.limits, **changed))
                change.billing(found.id, "account.limits", project_id=project_id, limits=changed, before=before)
            else:
                change.repeat_project(project_id)
        return change.propagated


def narrower(first: Limits, second: Limits) -> Limits:
    """The smaller one of each limit."""
    other = second.to_dict()
    return Limits(
        **{
            name: min((found for found in (limit, other[name]) if found is not None), default=None)
            for name, limit in first.to_dict().items()
        }
    )


async def of_caller(connection: Connection, caller: Caller, project_id: str) -> OfSomebody | None:
    """The limits of the key that calls; None: it has none, or somebody signed in calls."""
    if not isinstance(caller, KeyCaller):
        return None
    found = await repository.of_key(connection, project_id, caller.key_id)
    return found if found is not None and found.limits.any else None


async def check_caller(connection: Connection, caller: Caller, project_id: str) -> None:
    """Raise LimitedCaller for a key that is limited itself."""
    if await of_caller(connection, caller, project_id) is not None:
        raise LimitedCaller(
            "An API key that is limited itself cannot change limits. Sign in, or use a key without limits."
        )


def _differences(
    limits: Limits, changes: Mapping[str, int | None]
) -> tuple[dict[str, int | None], dict[str, int | None]]:
    """What changes, and what it was before."""
    known = limits.to_dict()
    changed = {name: limit for name, limit in changes.items() if known[name] != limit}
    return changed, {name: known[name] for name in changed}


def _check_plan(plan: Limits, changes: Mapping[str, int | None]) -> None:
    """Raise AbovePlan for an own limit above the plan's."""
    allowed = plan.to_dict()
    for name, limit in changes.items():
        most = allowed[name]
        if limit is not None and most is not None and limit > most:
            raise AbovePlan(
                f"{name}: got {limit}; allowed: up to the plan's {most}, or null for that. "
                "For more, ask the platform to raise the plan's."
            )


def _gone() -> ProjectGone:
    return ProjectGone("No such project, or none that this credential may see.")


LIMITS: Final = web.AppKey("limits", LimitService)
