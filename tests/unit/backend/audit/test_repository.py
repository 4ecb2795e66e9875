"""What is written into the audit log."""

import json
from datetime import UTC, datetime
from typing import Any

from backend.api.endpoint import Actor
from backend.audit import repository


class Connection:
    def __init__(self) -> None:
        self.arguments: tuple[Any, ...] = ()

    async def execute(self, _statement: str, *arguments: Any) -> None:
        self.arguments = arguments


async def test_a_record_says_who_what_and_by_which_request() -> None:
    connection: Any = Connection()
    actor = Actor(kind="key", actor_id="k", request_id="r")
    when = datetime(2026, 1, 2, tzinfo=UTC)
    await repository.record(connection, actor, "key.create", "k2", project_id="p", expires=when, scopes=["a"])
    project_id, kind, actor_id, action, target, detail, request_id = connection.arguments
    assert (project_id, kind, actor_id, action, target, request_id) == ("p", "key", "k", "key.create", "k2", "r")
    assert json.loads(detail) == {"expires": "2026-01-02 00:00:00+00:00", "scopes": ["a"]}
