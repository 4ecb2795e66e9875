"""The statement of the page reads each run once; what it finds is tested with PostgreSQL."""

from backend.status.repository import DAYS


def test_all_figures_of_the_page_come_from_one_statement() -> None:
    assert DAYS.sql.count("from canary_runs") == 1
    for component in ("stream", "upload", "usage"):
        assert f"count(*) filter (where {component}) as {component}_good" in DAYS.sql
