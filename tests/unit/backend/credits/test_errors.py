from aldea.errors import BadRequest, Conflict, ProjectNotFound
from backend.credits.errors import ERRORS, CreditTaken, ExpiryUnusable
from backend.projects.errors import ProjectGone


def test_an_id_of_another_credit_is_a_conflict_and_an_absent_project_is_not_found() -> None:
    assert ERRORS[CreditTaken] is Conflict
    assert ERRORS[ExpiryUnusable] is BadRequest
    assert ERRORS[ProjectGone] is ProjectNotFound
