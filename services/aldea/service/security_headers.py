"""The security headers of every response, a page as well as the API's data; each service adds its own."""

from collections.abc import Mapping
from typing import Final

# Two years, as browsers' preload lists require at least one.
HSTS_SECONDS: Final = 63_072_000

# Not to be guessed at, framed, or shared with another origin's pages.
_HARMLESS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_OVER_TLS: Final[Mapping[str, str]] = {"Strict-Transport-Security": f"max-age={HSTS_SECONDS}; includeSubDomains"}


def browser_headers(*, tls: bool) -> dict[str, str]:
    """The headers. `tls`: people reach the service over TLS alone, and their browsers are to keep to it."""
    return {**_HARMLESS, **(_OVER_TLS if tls else {})}
