"""Databases for the integration tests: a fresh, migrated one for whoever asks, made in milliseconds from a template."""

import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg
import pytest

from aldea import sqs
from aldea.postgres import Database, open_database
from aldea.settings import read
from backend.cli import CommandSettings
from backend.migrate import migrate
from onebox import stores

TEMPLATE = "migrated"


def settings_for(url: str) -> CommandSettings:
    return read(CommandSettings, database_url=url)


def database_named(server: stores.Postgres, name: str) -> str:
    return server.url.removesuffix(server.database) + name


async def administer(server: stores.Postgres, statement: str) -> None:
    connection = await asyncpg.connect(server.url, timeout=10)
    try:
        await connection.execute(statement, timeout=30)
    finally:
        await connection.close(timeout=5)


@pytest.fixture
async def empty_database(postgres_server: stores.Postgres) -> AsyncIterator[str]:
    """The URL of a database of this test's own, without a table."""
    name = f"t{uuid.uuid4().hex}"
    await administer(postgres_server, f"create database {name}")
    yield database_named(postgres_server, name)
    await administer(postgres_server, f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def migrated_template() -> list[str]:
    """Whether the template stands: an empty list until the first test made it."""
    return []


@pytest.fixture
async def database_url(postgres_server: stores.Postgres, migrated_template: list[str]) -> AsyncIterator[str]:
    """The URL of a migrated database of this test's own."""
    if not migrated_template:
        await administer(postgres_server, f"create database {TEMPLATE}")
        await migrate(settings_for(database_named(postgres_server, TEMPLATE)))
        migrated_template.append(TEMPLATE)
    name = f"t{uuid.uuid4().hex}"
    await administer(postgres_server, f"create database {name} template {TEMPLATE}")
    yield database_named(postgres_server, name)
    await administer(postgres_server, f"drop database {name} with (force)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A pool on a migrated database of this test's own."""
    async with open_database(settings_for(database_url), "test") as found:
        yield found


@dataclass(frozen=True)
class UsageQueues:
    """A usage queue and its dead-letter queue of this test's own."""

    usage: sqs.Queue
    dead_letters: sqs.Queue
    settings: sqs.SqsSettings


@pytest.fixture
async def usage_queues(sqs_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[UsageQueues]:
    """Fresh queues; a message that was received 50 times is moved to the dead-letter queue."""
    for name, value in stores.AWS_ENV.items():
        monkeypatch.setenv(name, value)
    url = f"{sqs_endpoint}/000000000000/{uuid.uuid4().hex}"
    settings = read(
        sqs.SqsSettings, port=0, sqs_endpoint_url=sqs_endpoint, usage_queue_url=url, usage_dlq_url=f"{url}-dlq"
    )
    async with sqs.connect(settings) as client:
        name = url.rpartition("/")[2]
        dead = await client.create_queue(QueueName=f"{name}-dlq")
        arn = f"arn:aws:sqs:{settings.aws_region}:000000000000:{name}-dlq"
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "50"})
        made = await client.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})
        yield UsageQueues(sqs.Queue(client, made["QueueUrl"]), sqs.Queue(client, dead["QueueUrl"]), settings)
