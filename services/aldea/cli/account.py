"""`aldea keys` and `aldea usage`: what the Platform API says of the key's project."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from aldea.canary.client import StreamFailed, call
from aldea.cli.access import Access
from aldea.cli.terminal import Terminal

_SECONDS: Final = 30.0


async def project(access: Access, given: str | None) -> str:
    """The project's id: the given one, else the key's own. Raises StreamFailed."""
    if given is not None:
        return given
    projects = (await _get(access, "/v1/projects"))["projects"]
    if not projects:
        raise StreamFailed("the key sees no project: give it the scope project:read, or name the project by --project.")
    return str(projects[0]["project_id"])


async def list_keys(access: Access, named: str | None, as_json: bool, terminal: Terminal) -> int:
    """All keys of the project that are in force."""
    found = await _get(access, f"/v1/projects/{_segment(await project(access, named))}/keys")
    if as_json:
        terminal.print(json.dumps(found, indent=2))
        return 0
    rows = [("ID", "COMMENT", "SCOPES", "CREATED", "EXPIRES")]
    for entry in found["api_keys"]:
        key = entry["api_key"]
        expires = (key.get("expiration_date") or "never")[:10]
        rows.append((key["api_key_id"], key["comment"], " ".join(key["scopes"]), key["created"][:10], expires))
    _table(rows, terminal)
    return 0


async def make_key(
    access: Access, named: str | None, comment: str, scopes: Sequence[str], as_json: bool, terminal: Terminal
) -> int:
    """A new key: its text is printed once, and nowhere else."""
    path = f"/v1/projects/{_segment(await project(access, named))}/keys"
    response = await call(
        "POST", path, access.url, access.key, json_body={"comment": comment, "scopes": list(scopes)}, seconds=_SECONDS
    )
    made = _parsed(response.body)
    if not as_json:
        terminal.complain(f"made the key {made['api_key_id']}. Keep its text: it is shown this once.")
    terminal.print(json.dumps(made, indent=2) if as_json else made["key"])
    return 0


async def revoke_key(access: Access, named: str | None, key_id: str, terminal: Terminal) -> int:
    """End a key."""
    path = f"/v1/projects/{_segment(await project(access, named))}/keys/{_segment(key_id)}"
    await call("DELETE", path, access.url, access.key, seconds=_SECONDS)
    terminal.complain(f"revoked the key {key_id}.")
    return 0


async def usage(access: Access, named: str | None, days: int, as_json: bool, terminal: Terminal) -> int:
    """Requests and audio hours of the last days, by day."""
    today = datetime.now(UTC).date()
    query = {"start": str(today - timedelta(days=days - 1)), "end": str(today)}
    found = await _get(access, f"/v1/projects/{_segment(await project(access, named))}/usage", query)
    if as_json:
        terminal.print(json.dumps(found, indent=2))
        return 0
    days_used = [
        (result["start"], str(result["requests"]), f"{float(result['total_hours']):.4f}") for result in found["results"]
    ]
    _table([("DAY", "REQUESTS", "HOURS"), *days_used], terminal)
    return 0


async def _get(access: Access, path: str, query: dict[str, str] | None = None) -> Any:
    return _parsed((await call("GET", path, access.url, access.key, query=query, seconds=_SECONDS)).body)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise StreamFailed("the response is not JSON. Is the address the API's?") from None


def _table(rows: Sequence[Sequence[str]], terminal: Terminal) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        # A comment is somebody's text: no escape code of it reaches the terminal.
        terminal.print("".join(letter if letter.isprintable() else "?" for letter in line).rstrip())


def _segment(text: str) -> str:
    return quote(text, safe="")
