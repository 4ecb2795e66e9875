"""A webhook's secret leaves its table for the signature alone."""

import inspect

from backend.alerts import repository


def test_no_list_has_a_secret() -> None:
    assert "secret" not in repository._COLUMNS
    assert inspect.getsource(repository).count("select url, project_id::text, secret") == 1
