"""Bounds of what an account may own."""

from backend.projects import service


def test_an_account_can_own_several_projects_but_not_any_number() -> None:
    assert 1 < service.MAX_OWNED_PROJECTS < 1000
