"""A given PostgreSQL: its version, that it takes writes, and that its user may make what a migration makes."""

from typing import Any, Final
from urllib.parse import SplitResult, unquote

import asyncpg

from aldea.redaction import redact_text
from onebox.given.errors import Unusable, not_reached, one_line, parts_of

# The migrations use what PostgreSQL 18 has and earlier ones do not.
OLDEST: Final = 18
EXAMPLE: Final = "postgresql://user:password@host:5432/database"
# Longer than the deadline of all checks, which says it in its own words.
_CONNECT_SECONDS: Final = 30.0

_QUESTIONS: Final = """
    select current_setting('server_version_num')::int / 10000 as major, current_setting('server_version') as version,
           current_setting('server_encoding') as encoding, pg_is_in_recovery() as replica,
           has_schema_privilege('public', 'create') as creates,
           has_database_privilege(current_database(), 'create') as owns,
           (select rolcreaterole or rolsuper from pg_roles where rolname = current_user) as makes_roles,
           (select count(*) = 2 from pg_roles where rolname in ('imp_backend', 'sqs_updater')) as has_roles
"""


async def check(url: str) -> str:
    """What PostgreSQL is at `url`. Raises Unusable."""
    parts = parse(url)
    where = f"{parts.hostname or 'localhost'}:{parts.port or 5432}"
    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    except TimeoutError:
        raise
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError):
        raise Unusable(
            f"PostgreSQL on {where} does not let the user {unquote(parts.username or '')!r} in with this password. "
            "Correct the user or the password in the URL."
        ) from None
    except asyncpg.InvalidCatalogNameError:
        name = unquote(parts.path.strip("/"))
        raise Unusable(f"PostgreSQL on {where} has no database {name!r}. Create it: createdb {name}") from None
    except asyncpg.PostgresConnectionError as error:
        raise Unusable(
            f"what listens on {where} does not respond as PostgreSQL does ({one_line(error)}). Correct the address."
        ) from None
    except asyncpg.PostgresError as error:
        raise Unusable(f"PostgreSQL on {where} refuses: {redact_text(one_line(error))}.") from None
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, ValueError) as error:
        raise Unusable(f"{redact_text(one_line(error))}; allowed: {EXAMPLE}.") from None
    except OSError as error:
        raise not_reached(where, error) from None
    try:
        found = await connection.fetchrow(_QUESTIONS)
    except asyncpg.PostgresError as error:
        raise Unusable(f"PostgreSQL on {where} does not say its version: {redact_text(one_line(error))}.") from None
    finally:
        connection.terminate()
    assert found is not None
    return verdict(found, where, unquote(parts.username or ""))


def parse(url: str) -> SplitResult:
    """The URL's parts. Raises Unusable for what is no PostgreSQL URL with a database name."""
    parts = parts_of(url, EXAMPLE)
    if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
        raise Unusable(f"it is no PostgreSQL URL with a database name; allowed: {EXAMPLE}.")
    return parts


def verdict(found: Any, where: str, user: str) -> str:
    """What the responses to _QUESTIONS mean. `found`: by column. Raises Unusable."""
    if found["major"] < OLDEST:
        raise Unusable(
            f"PostgreSQL {found['version'].split()[0]} on {where} is too old; needed: {OLDEST} or later. "
            f"Give a newer one, or unset DATABASE_URL to use the embedded PostgreSQL {OLDEST}."
        )
    if found["replica"]:
        raise Unusable(f"PostgreSQL on {where} is a replica, which takes no writes. Give the primary's address.")
    if found["encoding"] != "UTF8":
        raise Unusable(
            f"the database on {where} is encoded in {found['encoding']}; needed: UTF8. "
            "Create one: createdb --encoding UTF8 --template template0 NAME"
        )
    if not (found["creates"] and found["owns"]):
        raise Unusable(f"the user {user!r} may not create tables in the database on {where}. Give its owner.")
    if not (found["makes_roles"] or found["has_roles"]):
        raise Unusable(
            f"the user {user!r} may not create the roles imp_backend and sqs_updater on {where}. "
            f'Allow it, as an administrator: alter role "{user}" createrole'
        )
    return f"PostgreSQL {found['version'].split()[0]} on {where}"
