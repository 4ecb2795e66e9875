"""What the console reads from its environment."""

from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import Field

from aldea.settings import Port
from aldea.tracing.settings import ForwardedTracedSettings

_ORIGIN = r"^https?://[^/\s]+$"


class FrontendSettings(ForwardedTracedSettings):
    """The console's settings."""

    port: Port = Field(8104, description="the TCP port to serve on, 0 to 65535 (0 picks a free one)")
    platform_api_url: str = Field(
        pattern=_ORIGIN,
        description="where this process reaches the Platform API, as http://backend:8103 (no path)",
    )
    public_api_url: str = Field(
        pattern=_ORIGIN,
        description="the API's address for customers and their browsers, as https://api.example.com (no path)",
    )
    cookie_secure: bool = Field(
        default=True,
        description="true where browsers come by HTTPS (cookies are then Secure, their names begin with __Host-)",
    )
    support_address: str = Field(
        default="",
        max_length=300,
        pattern=r"^(?:|https://\S+|[^\s@<>\"]+@[^\s@<>\"]+)$",
        description="where customers reach support: an e-mail address or an https:// page; empty: no link is shown",
    )
    status_url: str = Field(
        default="",
        max_length=300,
        pattern=r"^(?:|/\S*|https://\S+)$",
        description="the status page, as https://status.example.com or a path; empty: the console's own, /status",
    )
    trace_url: str = Field(
        default="",
        max_length=300,
        pattern=r"^(?:|https?://[^\s{}]*\{trace_id\}[^\s{}]*)$",
        description="where operators look at a trace, as https://traces.example.com/trace/{trace_id}; empty: no link",
    )
    api_timeout_seconds: float = Field(10.0, gt=0, le=60, description="the deadline of one call of the Platform API")

    @property
    def support_url(self) -> str:
        """`support_address` as a link, empty if there is none."""
        return (
            f"mailto:{self.support_address}" if "@" in self.support_address.partition("/")[0] else self.support_address
        )

    def trace_link(self, trace_id: str | None) -> str:
        """Where operators look at the trace, empty if there is none or nothing to look with."""
        return self.trace_url.replace("{trace_id}", trace_id) if trace_id else ""

    @property
    def public_ws_url(self) -> str:
        """`public_api_url` for WebSockets."""
        url = urlsplit(self.public_api_url)
        return f"{'wss' if url.scheme == 'https' else 'ws'}://{url.netloc}"


SETTINGS: Final = web.AppKey("settings", FrontendSettings)
