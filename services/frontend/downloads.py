"""Files that the API makes, passed on to the reader's browser as they come."""

from aiohttp import web

from frontend.api import ApiDown, ApiRefusal, Query
from frontend.page_views import PageView


async def pass_on(view: PageView, path: str, query: Query, *, filename: str, content_type: str) -> web.StreamResponse:
    """The API's file at `path`, saved as `filename`. Raises ApiDown, ApiRefusal before its first byte."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    try:
        async with view.api.api.download(path, token=view.api.token, address=view.api.address, query=query) as source:
            response.headers["Content-Disposition"] = f'attachment; filename="{filename}"'
            await response.prepare(view.request)
            async for chunk in source.content.iter_any():
                await response.write(chunk)
    except (ApiDown, ApiRefusal):
        if not response.prepared:
            raise
        # Half a file must not look like a whole one.
        if view.request.transport is not None:
            view.request.transport.abort()
        return response
    await response.write_eof()
    return response
