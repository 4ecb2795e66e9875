"""A first account, project and API key: for the onebox's demo and for the first hour of a deployment."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aldea import credentials
from aldea.postgres import Connection, open_database
from backend.accounts import repository as accounts
from backend.accounts.passwords import Passwords
from backend.accounts.service import refuse_weak
from backend.api.access import SCOPES
from backend.api.authentication import find_key
from backend.api.endpoint import SYSTEM
from backend.changes import Changes, UnitOfWork
from backend.credits.service import welcome
from backend.keys import repository as keys
from backend.keys.service import create_key
from backend.limits import repository as limits
from backend.projects import repository as projects
from backend.projects.service import create_project
from backend.settings import PlanSettings

KEY_COMMENT: Final = "bootstrap"


async def bootstrap(
    settings: PlanSettings,
    *,
    email: str,
    password: str,
    project: str,
    key_file: Path | None = None,
    unlimited: bool = False,
    report: Callable[[str], None],
) -> str | None:
    """Make sure that an operator account `email` owns a project of that name with an API key; the key if it is new.

    May be run again: what exists stays, the account's password too. A new key is minted if the project has none of
    ours, or if `key_file` is missing or holds a key that is not good (mode 0600; it takes the new key). `unlimited`
    takes the plan's limits off the project, and all limits off its billing account. `report` is called with one line
    for each step. A running backend writes the key to Redis at once. Raises WeakPassword for a new account,
    DatabaseUnavailable and asyncpg's errors.
    """
    password_hash = await Passwords().hash(password)
    async with (
        open_database(settings, "backend bootstrap") as database,
        Changes(database).transaction(SYSTEM) as change,
    ):
        connection = change.connection
        if await accounts.by_email(connection, email) is None:
            refuse_weak(password, email, project)
        user_id = await accounts.insert_user(
            connection, email=email, name=email.partition("@")[0], password_hash=password_hash, operator=True
        )
        report(f"account {email}: {'created' if user_id else 'exists'}")
        if user_id is not None:
            change.unmirrored("accounts", "account.create", user_id)
        else:
            found = await accounts.by_email(connection, email)
            assert found is not None
            user_id = found.user_id
        project_id = await _project(change, settings, user_id, project, unlimited=unlimited, report=report)
        if await _has_key(connection, project_id, key_file):
            report("API key: exists")
            return None
        new = await create_key(change, project_id, user_id, comment=KEY_COMMENT, scopes=sorted(SCOPES))
        if key_file is not None:
            # Before the commit: a key that nobody could read would be of no use.
            _write_secret(key_file, new.text)
        report(f"API key: created{'' if key_file is None else f', written to {key_file}'}")
    return new.text


async def _project(
    change: UnitOfWork,
    settings: PlanSettings,
    user_id: str,
    name: str,
    *,
    unlimited: bool,
    report: Callable[[str], None],
) -> str:
    project_id = await projects.owned_by_name(change.connection, user_id, name)
    report(f"project {name}: {'exists' if project_id else 'created'}")
    if project_id is None:
        project_id = await create_project(change, settings, user_id, name)
        await welcome(change, project_id, settings.plan_credit_usd)
    if unlimited:
        await _lift_limits(change, project_id)
    return project_id


async def _lift_limits(change: UnitOfWork, project_id: str) -> None:
    account = await limits.lock_account(change.connection, project_id)
    assert account is not None
    if account.limits.any:
        await limits.set_of_account(change.connection, account.id, limits.UNLIMITED)
        before = account.limits.to_dict()
        change.billing(account.id, "account.limits", project_id=project_id, limits=dict.fromkeys(before), before=before)
    found = await projects.by_id(change.connection, project_id)
    assert found is not None
    lifted: dict[str, int | None] = dict.fromkeys(found.limits)
    if found.state == "active" and found.limits == lifted:
        return
    await projects.set_limits(change.connection, project_id, state="active", **lifted)
    change.project(project_id, "project.limits", limits=lifted, before=found.limits)


async def _has_key(connection: Connection, project_id: str, key_file: Path | None) -> bool:
    if key_file is None:
        return await keys.has_good_with_comment(connection, project_id, KEY_COMMENT)
    text = _read_secret(key_file)
    caller = await find_key(connection, credentials.sha256_hex(text)) if text else None
    return caller is not None and caller.project_id == project_id


def _read_secret(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _write_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
