"""The playground: speech from the microphone or a file, transcribed as it comes; the key never reaches the browser."""

from typing import Final

from aiohttp import web

from frontend.settings import SETTINGS
from frontend.visits import Visit, in_project

# Long enough to open a stream right after, also on a slow line. A stream that is open outlives its token.
TOKEN_SECONDS: Final = 60


async def show(visit: Visit) -> web.Response:
    """The playground's page."""
    return visit.render("playground.html", section="playground", ws_url=visit.request.app[SETTINGS].public_ws_url)


async def grant(visit: Visit) -> web.Response:
    """A short-lived token for one stream of this project, as JSON for the page's own script."""
    wanted = {"ttl_seconds": TOKEN_SECONDS, "project_id": visit.project.project_id}
    given = await visit.api.send("POST", "/v1/auth/grant", wanted)
    return web.json_response({"access_token": given["access_token"], "expires_in": given["expires_in"]})


ROUTES: Final = (
    web.get("/projects/{project_id}/playground", in_project(show)),
    web.post("/projects/{project_id}/playground/token", in_project(grant)),
)
