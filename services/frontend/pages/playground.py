"""The playground: speech from the microphone or a file, transcribed as it comes; the key never reaches the browser."""

from typing import Final

from aiohttp import web

from frontend.models import GrantedToken
from frontend.page_views import PageView, in_project
from frontend.settings import SETTINGS

# Long enough to open a stream right after, also on a slow line. A stream that is open outlives its token.
TOKEN_SECONDS: Final = 60


async def show(view: PageView) -> web.Response:
    """The playground's page."""
    return view.render("playground.html", section="playground", ws_url=view.request.app[SETTINGS].public_ws_url)


async def grant(view: PageView) -> web.Response:
    """A short-lived token for one stream of this project, as JSON for the page's own script."""
    wanted = {"ttl_seconds": TOKEN_SECONDS, "project_id": view.project.project_id}
    given = await view.api.make("POST", "/v1/auth/grant", GrantedToken, wanted)
    return web.json_response({"access_token": given.access_token, "expires_in": given.expires_in})


ROUTES: Final = (
    web.get("/projects/{project_id}/playground", in_project(show)),
    web.post("/projects/{project_id}/playground/token", in_project(grant)),
)
