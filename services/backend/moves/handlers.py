"""The endpoint that moves a project, for operators."""

from typing import Final

from backend.api.access import Operator
from backend.api.endpoint import Call, Endpoint, propagation
from backend.moves import models
from backend.moves.errors import ERRORS, AccountGone, UsageLocked
from backend.moves.service import MOVES
from backend.projects.errors import ProjectGone


async def move_project(call: Call) -> models.MovedProject:
    """Move a project to another billing account, whose plan, balance and limits hold from the next request on.

    What the statements of closed months say stays with the account before; the charges of the open month move along.
    """
    body: models.MoveProject = call.body
    account_id = str(body.account_id)
    micros, propagated = await call.app[MOVES].move(call.actor, call.project_id, account_id)
    return models.MovedProject(
        message="Project moved.",
        propagation=propagation(propagated),
        account_id=account_id,
        moved_micros=micros,
    )


ENDPOINTS: Final = (
    Endpoint(
        method="PUT", path="/v1/operator/projects/{project_id}/account", handler=move_project, access=Operator(),
        tag="Operators", errors=ERRORS, summary="Move a project to another billing account", body=models.MoveProject,
        response=models.MovedProject, raises=(ProjectGone, AccountGone, UsageLocked),
    ),
)  # fmt: skip
