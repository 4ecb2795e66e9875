from collections.abc import Callable

import pytest

from onebox import given, stores

NONSENSE = [
    "nonsense",
    " ",
    "http://",
    "redis://",
    "postgresql://",
    "://",
    "postgresql://[x/y",
    "redis://h:port/0",
    "é\n",
]
SILENT = {
    "DATABASE_URL": "postgresql://me:s3cret@127.0.0.1:{port}/aldea",
    "REDIS_URL": "redis://:s3cret@127.0.0.1:{port}/0",
    "SQS_ENDPOINT_URL": "http://127.0.0.1:{port}",
    "STT_UPSTREAMS": "http://127.0.0.1:{port}",
}


async def test_nothing_is_looked_at_where_nothing_is_given() -> None:
    assert await given.look({}) == []
    assert await given.look(dict.fromkeys(SILENT, "")) == []


@pytest.mark.parametrize("variable", SILENT)
@pytest.mark.parametrize("value", NONSENSE)
async def test_text_that_is_no_url_is_one_line_with_what_is_allowed(variable: str, value: str) -> None:
    [found] = await given.look({variable: value})
    assert not found.usable
    assert "\n" not in found.text
    assert "allowed: " in found.text


@pytest.mark.parametrize("variable", SILENT)
async def test_where_nothing_listens_is_one_line_with_the_address(variable: str, closed_port: int) -> None:
    [found] = await given.look({variable: SILENT[variable].format(port=closed_port)})
    assert found.text == f"nothing listens on 127.0.0.1:{closed_port}. Start it, or correct the address."
    assert not found.usable


async def test_all_that_are_silent_cost_one_deadline_together(
    silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given, "DEADLINE_SECONDS", 0.2)
    found = await given.look({name: url.format(port=silent_port) for name, url in SILENT.items()})
    assert [one.variable for one in found] == list(SILENT)
    assert {one.text for one in found} == {"no response within 0.2 s. Start what it names, or correct the address."}
    assert not any(one.usable for one in found)


@pytest.mark.parametrize("variable", SILENT)
async def test_another_server_than_the_one_named_is_said_to_be_another(variable: str, web_port: int) -> None:
    [found] = await given.look({variable: SILENT[variable].format(port=web_port)})
    assert not found.usable
    assert f"127.0.0.1:{web_port}" in found.text
    assert "\n" not in found.text
    assert "s3cret" not in found.text


@pytest.mark.parametrize("variable", SILENT)
async def test_a_host_that_nobody_knows_is_named(variable: str) -> None:
    url = SILENT[variable].replace("127.0.0.1", "no-such-host.invalid").format(port=7)
    [found] = await given.look({variable: url})
    assert found.text == "the host of no-such-host.invalid:7 is not known. Correct the address."


async def test_what_is_usable_is_named_with_its_version(
    postgres_server: stores.Postgres,
    redis_url: str,
    sqs_endpoint: str,
    with_queues: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(given, "DEADLINE_SECONDS", 60.0)  # whatever else this machine does just now
    with_queues()
    found = await given.look(
        {"DATABASE_URL": postgres_server.url, "REDIS_URL": redis_url, "SQS_ENDPOINT_URL": sqs_endpoint}
    )
    texts = {one.variable: one.text for one in found}
    assert texts["DATABASE_URL"].startswith("PostgreSQL 18.")
    assert texts["REDIS_URL"].startswith(("Redis ", "Valkey "))
    assert texts["SQS_ENDPOINT_URL"] == f"SQS on {sqs_endpoint.removeprefix('http://')} with both queues"
    assert all(one.usable for one in found)


@pytest.fixture
def with_queues(sqs_endpoint: str) -> Callable[[], None]:
    return lambda: stores.create_queues(int(sqs_endpoint.rpartition(":")[2]))
