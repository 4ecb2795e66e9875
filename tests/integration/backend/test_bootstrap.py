"""`python -m backend bootstrap`, as a process."""

import asyncio
import sys
from pathlib import Path

from aldea.credentials import checksum_ok, sha256_hex
from backend.accounts.passwords import Passwords
from backend.api.access import SCOPES
from backend.api.authentication import find_key
from tests.integration.conftest import Api

PASSWORD = "correct horse"


async def run(database_url: str, *arguments: str, password: str = PASSWORD) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "backend", "bootstrap", "--email", "Ann@example.com", "--password-stdin", *arguments,
        env={"DATABASE_URL": database_url, "PYTHONPATH": "services", "PATH": "", "PYTHONWARNINGS": "error"},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate(password.encode() + b"\n")
    assert process.returncode is not None
    return process.returncode, out.decode().strip(), err.decode()


async def test_the_first_run_prints_a_key_that_works_and_the_second_changes_nothing(
    api: Api, database_url: str
) -> None:
    status, key, reported = await run(database_url)
    assert status == 0, reported
    assert checksum_ok(key)
    assert key not in reported
    projects = (await api.call("GET", "/v1/projects", key))["projects"]
    assert [project["name"] for project in projects] == ["Demo"]

    status, out, reported = await run(database_url, password="another password")
    assert (status, out) == (0, "")
    assert reported.count("exists") == 3
    async with api.database.connection() as connection:
        rows = await connection.fetch("select operator, password_hash from users")
        assert await connection.fetchval("select count(*) from projects") == 1
    assert [row["operator"] for row in rows] == [True]
    assert await Passwords().verify(rows[0]["password_hash"], PASSWORD)


async def test_a_key_file_is_written_once_and_again_when_its_key_is_not_good(
    api: Api, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    arguments = ("--project", "Box", "--key-file", str(file), "--unlimited")
    assert (await run(database_url, *arguments))[:2] == (0, "")
    first = file.read_text().strip()
    await run(database_url, *arguments)
    assert file.read_text().strip() == first
    async with api.database.connection() as connection:
        caller = await find_key(connection, sha256_hex(first))
        assert caller is not None
        assert caller.scopes == SCOPES
        limits = await connection.fetchrow("select requests_per_minute, monthly_audio_seconds from projects")
        assert limits is not None
        assert tuple(limits) == (None, None)
        assert await connection.fetchval("select monthly_audio_seconds from billing_accounts") is None
        audited = [row["action"] for row in await connection.fetch("select action from audit_log order by 1")]
        made = ["account.create", "account.limits", "key.create", "project.create", "project.credit", "project.limits"]
        assert audited == made
        await connection.execute("update api_keys set revoked = now()")
    await run(database_url, *arguments)
    assert file.read_text().strip() != first
    await api.call("GET", "/v1/projects", file.read_text().strip())


async def test_a_new_account_is_given_no_password_that_is_guessed_first(api: Api, database_url: str) -> None:
    for weak in ("password1234", "Demo-Ann-2026", "short"):
        status, out, reported = await run(database_url, password=weak)
        assert (status, out) == (1, "")
        assert reported.startswith("backend bootstrap: ")
        assert reported.count("\n") == 1
        assert weak not in reported
    async with api.database.connection() as connection:
        assert await connection.fetchval("select count(*) from users") == 0
