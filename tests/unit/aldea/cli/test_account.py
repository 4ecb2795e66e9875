"""Keys and usage of the key's project, as tables and as JSON."""

import json

from tests.fakes.platform import PROJECT, FakePlatform
from tests.unit.aldea.cli.commands import KEY, Command


async def test_keys_are_a_table_without_the_escape_codes_of_their_comments(
    command: Command, url: str, platform: FakePlatform
) -> None:
    platform.api_keys = [
        {
            "api_key_id": "k1", "comment": "a\x1b[2Jb", "scopes": ["usage:write"],
            "created": "2026-03-31T09:30:00Z", "expiration_date": None,
        },
    ]  # fmt: skip
    ran = await command("keys", "--url", url)
    assert ran.status == 0
    assert ran.output.splitlines()[1].split() == ["k1", "a?[2Jb", "usage:write", "2026-03-31", "never"]
    assert json.loads((await command("keys", "--json", "--url", url)).output)["api_keys"]


async def test_a_key_is_made_shown_once_and_revoked(command: Command, url: str, platform: FakePlatform) -> None:
    ran = await command("keys", "--url", url, "create", "for a test")
    assert ran.output == "org_new\n"
    assert platform.made == [{"comment": "for a test", "scopes": ["usage:write"]}]
    ran = await command("keys", "--url", url, "revoke", "k/1")
    assert (ran.status, platform.revoked) == (0, ["k/1"])


async def test_usage_is_a_row_a_day(command: Command, url: str, platform: FakePlatform) -> None:
    ran = await command("usage", "--days", "7", "--url", url, "--project", PROJECT)
    assert ran.output.splitlines()[1].split() == ["2026-03-31", "3", "1.5000"]
    assert platform.keys == [f"Token {KEY}"]


async def test_a_response_of_another_shape_is_a_sentence(command: Command, url: str, platform: FakePlatform) -> None:
    platform.api_keys = [{"comment": "x"}]
    ran = await command("keys", "--url", url)
    assert ran.status == 1
    assert "another shape than the API's" in ran.errors
