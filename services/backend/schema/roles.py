"""The database roles that services sign in as, with the rights that each needs and no other; made by `migrate`.

The role that migrates owns everything; a service that is taken over cannot change the schema, rewrite what was billed
(imp_backend) or read an account (sqs_updater), nor touch the audit log's past. A role signs in with an RDS IAM token:
it has no password, and on RDS it is a member of `rds_iam`. Elsewhere give it one (`alter role imp_backend password …`),
or let services sign in as the owner.
"""

from collections.abc import Mapping
from typing import Final

import structlog
from sqlalchemy import Connection, text

log = structlog.get_logger("backend.schema.roles")

BACKEND: Final = "imp_backend"
SQS_UPDATER: Final = "sqs_updater"

_READ: Final = frozenset({"SELECT"})
_APPEND: Final = frozenset({"SELECT", "INSERT"})
_CHANGE: Final = frozenset({"SELECT", "INSERT", "UPDATE"})
_ALL: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})

# By role, table and sequence. A new table is named here, or the test that compares them with the schema fails.
TABLES: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    BACKEND: {
        "users": _CHANGE,
        "sessions": _ALL,
        "sign_in_clients": _ALL,
        "password_resets": _ALL,
        "projects": _CHANGE,
        "memberships": _ALL,
        "invites": _ALL,
        "api_keys": _CHANGE,
        "ledger_entries": _APPEND,
        # A view of it under its old name, for tasks of the release before.
        "credits": _APPEND,
        # sqs_updater moves it; a sweep of expired grants locks it, which takes the right to change.
        "account_spend": _CHANGE,
        "billing_accounts": _CHANGE,
        "statements": _APPEND,
        "statement_lines": _APPEND,
        "prices": _APPEND,
        "audit_log": _APPEND,
        "session_grants": _CHANGE,
        "granted_tokens": _ALL,
        "idempotency_keys": _ALL,
        "alert_endpoints": _ALL,
        "alert_events": _ALL,
        "alert_deliveries": _ALL,
        "alert_moves": _ALL,
        "balance_marks": _CHANGE,
        "price_announcements": _CHANGE,
        # What the canary saw, added and deleted; incidents, each with updates that nobody rewrites.
        "canary_runs": _ALL,
        "incidents": _CHANGE,
        "incident_updates": _APPEND,
        "revisions": frozenset({"USAGE"}),
        # A view: how much of each month's limit is used.
        "monthly_limits": _READ,
        # Whether the schema is new enough for this release: see schema_version.
        "alembic_version": _READ,
        # What was billed is written by sqs_updater, and repaired by `reconcile`, which is run as the owner.
        "usage_requests": _READ,
        "usage_requests_default": _READ,
        "usage_daily": _READ,
        "usage_kept": _READ,
    },
    SQS_UPDATER: {
        "usage_requests": _CHANGE,
        "usage_daily": _CHANGE,
        "usage_kept": _READ,
        "account_spend": _CHANGE,
        # What has moved, for whoever looks at thresholds.
        "alert_moves": frozenset({"INSERT"}),
        "prices": _READ,
        # A view: which plan a project has, and nothing else of it.
        "billed_projects": _READ,
    },
}
# Functions with their owner's rights: see migration 0005.
FUNCTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    BACKEND: ("make_usage_partition(date)", "drop_usage_before(date)", "move_project(uuid,uuid)"),
    SQS_UPDATER: (),
}

# Roles belong to the whole server: another database's migration may make the same one at the same moment.
_CREATE: Final = """
do $$ begin
    create role {role} login;
exception when duplicate_object or unique_violation then
    null;
end $$
"""
_GRANTED: Final = """
select relname, privilege_type from pg_class, aclexplode(relacl) as granted
where relnamespace = 'public'::regnamespace and grantee = cast(:role as regrole)
"""


def grant_roles(connection: Connection) -> None:
    """Make the roles and give them their rights, as far as the tables exist; surplus rights are revoked.

    Changes nothing where all is as it should be, so it may run at every deployment beside running services. A migrating
    role that may not create roles is no error: then the services sign in as somebody else anyhow.
    """
    for role in TABLES:
        if not _exists(connection, role):
            may = "select rolcreaterole or rolsuper from pg_roles where rolname = current_user"
            if not connection.scalar(text(may)):
                log.warning("role not created, the migrating role may not create any", role=role)
                continue
            connection.execute(text(_CREATE.format(role=role)))
            log.info("role created", role=role)
        _let_in(connection, role)
        _grant(connection, role)


def _exists(connection: Connection, role: str) -> bool:
    return bool(connection.scalar(text("select exists (select from pg_roles where rolname = :role)"), {"role": role}))


def _let_in(connection: Connection, role: str) -> None:
    """On RDS: by IAM tokens, and only by those (Amazon RDS User Guide, "Creating a database account using IAM")."""
    if _exists(connection, "rds_iam") and not connection.scalar(
        text("select pg_has_role(:role, 'rds_iam', 'member')"), {"role": role}
    ):
        connection.execute(text(f"grant rds_iam to {role}"))
    if not connection.scalar(text("select has_schema_privilege(:role, 'public', 'usage')"), {"role": role}):
        connection.execute(text(f"grant usage on schema public to {role}"))


def _grant(connection: Connection, role: str) -> None:
    found: dict[str, set[str]] = {}
    for name, privilege in connection.execute(text(_GRANTED), {"role": role}):
        found.setdefault(name, set()).add(privilege)
    for name in sorted(found.keys() | TABLES[role].keys()):
        is_sequence = connection.scalar(
            text("select relkind = 'S' from pg_class where oid = to_regclass(:name)"), {"name": f"public.{name}"}
        )
        if is_sequence is None:
            continue  # migrated to an earlier revision
        on = f"{'sequence' if is_sequence else 'table'} public.{name}"
        wanted = TABLES[role].get(name, frozenset())
        if missing := wanted - found.get(name, set()):
            connection.execute(text(f"grant {', '.join(sorted(missing))} on {on} to {role}"))
        if surplus := found.get(name, set()) - wanted:
            connection.execute(text(f"revoke {', '.join(sorted(surplus))} on {on} from {role}"))
            log.warning("surplus rights revoked", role=role, on=on, rights=sorted(surplus))
    for function in FUNCTIONS[role]:
        known = "select to_regprocedure(:name) is not null and not has_function_privilege(:role, :name, 'execute')"
        if connection.scalar(text(known), {"role": role, "name": f"public.{function}"}):
            connection.execute(text(f"grant execute on function public.{function} to {role}"))
