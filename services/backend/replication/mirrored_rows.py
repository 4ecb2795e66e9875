"""PostgreSQL's rows of records by the records' names: what Redis should hold now."""

from collections.abc import Sequence
from uuid import UUID

from aldea.postgres import Database
from backend.credits import accounts
from backend.keys import entries as keys
from backend.projects import repository as projects
from backend.replication.mirror import Entry
from backend.tokens import repository as tokens

_CREDENTIAL = "cred:"
_PROJECT = "project:"
_ACCOUNT = "account:"
_PRICES = "prices:"
_KNOWN = """
    select 'cred:' || sha256 as name from api_keys where sha256 = any($1::text[])
    union all select 'cred:' || sha256 from session_grants where sha256 = any($1::text[])
    union all select 'project:' || project_id from projects where project_id = any($2::uuid[])
    union all select 'account:' || account_id from billing_accounts where account_id = any($3::uuid[])
"""


class MirroredRows:
    """Looks records up. It sees whatever was committed before the call."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self, names: Sequence[str]) -> list[Entry]:
        """What Redis should hold under these names; a name without a row is left out. Raises DatabaseUnavailable."""
        hashes, project_ids, account_ids = _split(names)
        plans = [name.removeprefix(_PRICES) for name in names if name.startswith(_PRICES)]
        async with self._database.connection() as connection:
            return [
                *(await accounts.price_entries(connection, plans) if plans else ()),
                *await accounts.entries_of_ids(connection, account_ids),
                *await projects.entries_of_ids(connection, project_ids),
                *await keys.entries_of_hashes(connection, hashes),
                *await tokens.entries_of_hashes(connection, hashes),
            ]

    async def known(self, names: Sequence[str]) -> set[str]:
        """Those of these names that have a row. Raises DatabaseUnavailable."""
        async with self._database.connection() as connection:
            return {row["name"] for row in await connection.fetch(_KNOWN, *_split(names))}


def _split(names: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """The hashes of credentials, the ids of projects and those of billing accounts among these names."""
    hashes, project_ids, account_ids = (
        [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        for prefix in (_CREDENTIAL, _PROJECT, _ACCOUNT)
    )
    return hashes, list(filter(_is_uuid, project_ids)), list(filter(_is_uuid, account_ids))


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
