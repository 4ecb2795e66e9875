"""Which projects a caller is shown."""

from typing import Any

from backend.api.access import KeyCaller, SessionCaller
from backend.projects.handlers import list_projects
from backend.projects.repository import Named
from backend.projects.service import PROJECTS


class Projects:
    async def list(self, project_ids: tuple[str, ...]) -> list[Named]:
        return [Named(found, found.upper()) for found in project_ids]


class FakeCall:
    def __init__(self, caller: KeyCaller | SessionCaller) -> None:
        self.caller = caller
        self.app = {PROJECTS: Projects()}


async def shown(caller: KeyCaller | SessionCaller) -> list[str]:
    call: Any = FakeCall(caller)
    return [project.project_id for project in (await list_projects(call)).projects]


def key(*scopes: str) -> KeyCaller:
    return KeyCaller(sha256="0", key_id="k", project_id="p", scopes=frozenset(scopes), user_id=None)


async def test_a_key_shows_its_own_project_if_it_may_read_it() -> None:
    assert await shown(key("project:read")) == ["p"]
    assert await shown(key("usage:read")) == []


async def test_a_session_shows_every_project_of_its_user() -> None:
    session = SessionCaller(
        sha256="0", user_id="u", email="e", name="n", operator=True, roles={"a": "owner", "b": "member"}
    )
    assert await shown(session) == ["a", "b"]
