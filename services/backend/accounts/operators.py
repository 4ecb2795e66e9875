"""Who operates the platform: given and taken on the command line only, by those who hold the database's password."""

from aldea.postgres import PostgresSettings, open_database
from backend.accounts import repository
from backend.api.endpoint import SYSTEM
from backend.changes import Changes


async def appoint(settings: PostgresSettings, email: str, *, operator: bool) -> bool:
    """Make the account of an address an operator, or withdraw that; False if there is no such account.

    Running backends know at once. Raises DatabaseUnavailable and asyncpg's errors.
    """
    async with (
        open_database(settings, "backend operator") as database,
        Changes(database).transaction(SYSTEM) as change,
    ):
        user_id = await repository.set_operator(change.connection, email, operator=operator)
        if user_id is None:
            return False
        change.user(user_id, "operator.appoint" if operator else "operator.dismiss")
    return True
