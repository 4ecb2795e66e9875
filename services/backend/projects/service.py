"""Operations on projects. Each change is one transaction, then the write to Redis, then the response."""

from typing import Final

from aiohttp import web

from aldea.postgres import Connection, Database
from backend.api.access import DELETE_PROJECT, Caller
from backend.api.authentication import still_allowed
from backend.api.endpoint import Actor
from backend.changes import Changes, UnitOfWork
from backend.keys import repository as keys
from backend.projects import repository
from backend.projects.errors import ProjectGone, TooManyProjects
from backend.settings import PlanSettings
from backend.tokens import repository as tokens

# Far beyond a company's departments; without a bound one account could fill the table.
MAX_OWNED_PROJECTS: Final = 50


class ProjectService:
    """Projects, for people and for their programs."""

    def __init__(self, database: Database, changes: Changes, plan: PlanSettings) -> None:
        self._database = database
        self._changes = changes
        self._plan = plan

    async def list(self, project_ids: tuple[str, ...]) -> list[repository.Named]:
        """The projects of these ids."""
        async with self._database.connection() as connection:
            return await repository.by_ids(connection, project_ids)

    async def get(self, project_id: str) -> repository.ProjectRow:
        """One project. Raises ProjectGone."""
        async with self._database.connection() as connection:
            return await _existing(connection, project_id)

    async def create(self, actor: Actor, user_id: str, name: str) -> str:
        """A new project owned by the user, with the plan's limits; its id. Raises TooManyProjects."""
        async with self._changes.transaction(actor) as change:
            return await create_project(change, self._plan, user_id, name)

    async def rename(self, caller: Caller, actor: Actor, project_id: str, name: str) -> None:
        """Give a project another name. Raises ProjectGone."""
        async with self._changes.transaction(actor) as change:
            await repository.lock(change.connection, project_id)
            await still_allowed(change.connection, caller, project_id, "project:write")
            before = await repository.rename(change.connection, project_id, name)
            if before is None:
                raise _gone()
            # Neither Redis nor anybody's memory holds the name.
            change.unmirrored("projects", "project.rename", project_id, project_id=project_id, name=name, before=before)

    async def delete(self, caller: Caller, actor: Actor, project_id: str) -> bool:
        """Delete a project, revoke its keys and end its members' tokens; whether Redis knows already.

        Raises ProjectGone.
        """
        async with self._changes.transaction(actor) as change:
            await repository.lock(change.connection, project_id)
            await still_allowed(change.connection, caller, project_id, DELETE_PROJECT)
            if not await repository.set_deleted(change.connection, project_id):
                raise _gone()
            await keys.revoke_all(change.connection, project_id)
            await tokens.end_of_project(change.connection, project_id)
            change.project(project_id, "project.delete", whole=True)
        return change.propagated


async def create_project(change: UnitOfWork, plan: PlanSettings, user_id: str, name: str) -> str:
    """A new project inside the caller's transaction; its id. Raises TooManyProjects."""
    if await repository.owned_by(change.connection, user_id) >= MAX_OWNED_PROJECTS:
        raise TooManyProjects(f"You own {MAX_OWNED_PROJECTS} projects, as many as allowed. Delete one first.")
    project_id = await repository.insert(
        change.connection,
        name,
        user_id,
        requests_per_minute=plan.plan_requests_per_minute,
        concurrent_streams=plan.plan_concurrent_streams,
        monthly_audio_seconds=plan.plan_monthly_audio_seconds,
    )
    # The account's record is written with its projects'.
    change.exempt("billing_accounts")
    await repository.insert_membership(change.connection, project_id, user_id, "owner")
    change.project(project_id, "project.create", name=name)
    return project_id


async def _existing(connection: Connection, project_id: str) -> repository.ProjectRow:
    project = await repository.by_id(connection, project_id)
    if project is None:
        raise _gone()
    return project


def _gone() -> ProjectGone:
    return ProjectGone("No such project, or none that this credential may see.")


PROJECTS: Final = web.AppKey("projects", ProjectService)
