"""The projects' refusals as the contract's errors."""

from backend.projects.errors import ERRORS, ProjectGone, TooManyProjects


def test_each_refusal_has_its_status() -> None:
    assert {kind: error.status for kind, error in ERRORS.items()} == {ProjectGone: 404, TooManyProjects: 409}
