"""Addresses of the public API that have no counterpart here: each is a 404 whose text says what is not offered."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from aldea.errors import NotFound

_PROJECT: Final = "/v1/projects/{project_id}"
# What is not offered, by the paths below which it is at the public API.
ABSENT: Final[Mapping[str, str]] = {
    "/v1/speak": "Speech is not synthesized here (text to speech).",
    "/v2/speak": "Speech is not synthesized here (text to speech).",
    "/v1/read": "Text is not analyzed here (text intelligence).",
    "/v1/agent": "Voice agents are not offered here.",
    f"{_PROJECT}/agents": "Voice agents are not offered here.",
    f"{_PROJECT}/agent-variables": "Voice agents are not offered here.",
    f"{_PROJECT}/self-hosted": "The platform is not distributed for self-hosting, so there are no credentials for it.",
}


def refuse_what_is_absent(app: web.Application) -> None:
    """Serve the refusals, whatever the method and the rest of the path."""
    for path, text in ABSENT.items():
        for route in (path, path + "/{rest:.*}"):
            app.router.add_route("*", route, _refusal(text))


def _refusal(text: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        raise NotFound(f"{text} The reference, /v1/docs, lists what is.")

    return refuse
