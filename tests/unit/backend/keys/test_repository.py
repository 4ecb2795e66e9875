"""Which keys are good is said once; what the statements find is tested on a real PostgreSQL."""

import inspect

from backend.keys import repository


def test_every_statement_about_good_keys_has_the_one_condition() -> None:
    for query in (repository._GOOD_KEY, repository._MADE_BY, repository._OF_MEMBER):
        assert repository._GOOD in query.sql
    assert inspect.getsource(repository).count("expires > now()") == 2  # there, and of invites
