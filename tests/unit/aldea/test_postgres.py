"""How settings become connections: verification, IAM tokens, deadlines; and a server that is not there."""

import asyncio
import ssl
from importlib.resources import files
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from pydantic import ValidationError

from aldea import postgres
from aldea.postgres import (
    Database,
    DatabaseUnavailable,
    PostgresSettings,
    connect_arguments,
    iam_password,
    open_database,
)
from aldea.settings import read
from aldea.tasks import cancel, spawn
from onebox.ports import free_port

URL = "postgresql://api:secret@db.example:5433/aldea"


def settings(**values: object) -> PostgresSettings:
    return read(PostgresSettings, **{"port": 0, "database_url": URL, **values})


@pytest.mark.parametrize("url", ["mysql://h/x", "postgresql://h", "nonsense"])
def test_a_url_that_names_no_postgres_database_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(database_url=url)
    assert url not in str(refused.value)


def test_iam_without_a_certificate_to_verify_by_is_refused() -> None:
    with pytest.raises(ValidationError, match="DATABASE_SSLROOTCERT"):
        settings(database_iam=True)


def test_every_statement_has_a_deadline_on_both_sides() -> None:
    arguments = connect_arguments(settings(database_statement_seconds=3), "backend")
    assert arguments["server_settings"]["statement_timeout"] == "3000"
    assert arguments["command_timeout"] > 3
    assert arguments["timeout"] == postgres.CONNECT_SECONDS
    assert "password" not in arguments


def test_a_ca_file_makes_the_connection_verify_chain_and_name() -> None:
    ca_file = files("botocore").joinpath("cacert.pem")
    verified = connect_arguments(settings(database_sslrootcert=str(ca_file)), "backend")["ssl"]
    assert verified.verify_mode is ssl.CERT_REQUIRED
    assert verified.check_hostname


async def test_the_iam_password_is_a_fresh_presigned_connect_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    token = await iam_password("db.example", 5433, "api user", "us-west-2")()
    assert token.startswith("db.example:5433/?")
    query = parse_qs(urlsplit("https://" + token).query)
    assert query["Action"] == ["connect"]
    assert query["DBUser"] == ["api user"]
    assert query["X-Amz-Expires"] == ["900"]
    assert query["X-Amz-Credential"][0].endswith("/us-west-2/rds-db/aws4_request")
    assert "wJalrXUtnFEMI" not in token


async def test_a_server_that_is_not_there_is_a_503_and_does_not_stop_the_pool_from_opening() -> None:
    url = f"postgresql://api@127.0.0.1:{free_port()}/aldea"
    async with open_database(settings(database_url=url), "test") as database:
        with pytest.raises(DatabaseUnavailable) as refused:
            await database.check()
    assert refused.value.status == 503
    assert refused.value.headers()["Retry-After"] == "2"


class BreakingPool:
    """Lends a connection that breaks while it is given back."""

    async def acquire(self) -> None:
        pass

    async def release(self, _connection: None, timeout: float) -> None:
        assert timeout > 0
        raise asyncpg.InterfaceError("connection has been released back to the pool")


async def test_a_connection_that_breaks_in_a_cancelled_task_does_not_take_the_cancellations_place() -> None:
    database = Database(cast("Any", BreakingPool()))

    async def for_ever() -> None:
        while True:
            try:
                async with database.connection():
                    await asyncio.Event().wait()
            except DatabaseUnavailable:
                continue

    task = spawn(for_ever(), name="for-ever")
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await cancel(task)
    assert task.cancelled()
    with pytest.raises(DatabaseUnavailable):
        async with database.connection():
            pass
