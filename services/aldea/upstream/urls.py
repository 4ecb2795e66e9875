"""Addresses of STT servers: the setting that lists them, their own paths, what their certificates are verified with."""

import functools
import ssl
from typing import Annotated, Final

from pydantic import BeforeValidator
from pydantic_settings import NoDecode
from yarl import URL

from aldea import errors

# Either public spelling of a path, and the STT server's own.
_PATHS: Final = {
    "/v1/listen": "/v1/listen",
    "/listen/v1": "/v1/listen",
    "/v1/listen/pcm": "/v1/listen/pcm",
    "/listen/v1/pcm": "/v1/listen/pcm",
    "/v2/listen": "/v2/listen",
    "/transcribe": "/transcribe",
}
_OPEN_ENDED: Final = "/transcribe/"


@functools.cache
def trust() -> ssl.SSLContext:
    """What a server's certificate is verified with: the system's authorities, whose reading takes 30 ms, read once."""
    return ssl.create_default_context()


def parse_servers(value: object) -> tuple[str, ...]:
    """Base URLs from a comma separated text. Raises ValueError: what was got, what is allowed."""
    texts = value.split(",") if isinstance(value, str) else list(value) if isinstance(value, list | tuple) else []
    servers = tuple(str(base_url(text)).rstrip("/") for text in (str(text).strip() for text in texts) if text)
    if not servers:
        raise ValueError("no server is named")
    if len(set(servers)) < len(servers):
        raise ValueError("a server is named twice")
    return servers


# The type of the setting STT_UPSTREAMS.
ServerList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_servers)]


def base_url(text: str) -> URL:
    """`text` as a server's base URL: scheme http or https, host, perhaps a port, nothing else. Raises ValueError."""
    try:
        url = URL(text)
        host, port = url.host, url.port
    except ValueError as error:
        raise ValueError(f"{text!r} is no URL ({error})") from None
    if url.user is not None or url.password is not None:
        raise ValueError("a server's URL carries credentials; put the token into STT_UPSTREAM_TOKEN")
    if url.scheme not in {"http", "https"} or not host or not port:
        raise ValueError(f"{text!r} does not begin with http:// or https:// and a host")
    if url.path not in {"", "/"} or url.query_string or url.fragment:
        raise ValueError(f"{text!r} has a path or a query; only scheme, host and port are allowed")
    return url.origin()


def server_path(path: str) -> str:
    """The STT server's own path for a public one (raw, percent-encoded, without query). Raises errors.NotFound."""
    if (own := _PATHS.get(path)) is not None:
        return own
    if path.startswith(_OPEN_ENDED) and _plain(path):
        return path
    raise errors.NotFound(f"Nothing at {path:.100}. See the API reference for the addresses.")


def _plain(path: str) -> bool:
    # Dot segments, also encoded ones, would lead out of /transcribe/ on a server that resolves them.
    lowered = path.lower()
    return (
        not any(text in lowered for text in ("//", "\\", "%2e", "%2f", "%5c", "?", "#"))
        and not {".", ".."} & set(path.split("/"))
        and all("!" <= char <= "~" for char in path)
    )
