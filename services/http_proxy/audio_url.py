"""Requests that name their audio by a URL instead of carrying it: a small JSON body, read strictly.

The body goes on to the STT server as it came, so nothing in it may be readable in two ways: what was judged here has to
be what is fetched there.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import hdrs

from aldea import errors
from http_proxy.heads import RawHeaders
from http_proxy.upload import Upload

MAX_JSON: Final = 1 << 16
_CONTENT_TYPE: Final = hdrs.CONTENT_TYPE.lower().encode()


def declared(raw_headers: RawHeaders) -> bool:
    """Whether any server might take the body for JSON: the word is anywhere in a Content-Type."""
    for name, value in raw_headers:  # a generator would cost more than what it looks for
        if len(name) == len(_CONTENT_TYPE) and name.lower() == _CONTENT_TYPE and b"json" in value.lower():
            return True
    return False


def check_plain(headers: Mapping[str, str]) -> None:
    """Refuse a compressed body: what it unpacks to on the server would not be what was judged here."""
    if headers.get(hdrs.CONTENT_ENCODING, "").strip().lower() not in {"", "identity"}:
        raise errors.BadRequest("A JSON body is sent as it is. Leave Content-Encoding out.")


async def read(upload: Upload) -> str:
    """The URL in the whole body, which the upload keeps. Raises BadRequest, PayloadTooLarge and what reading raises."""
    while not upload.complete:
        await upload.read()
        if upload.received > MAX_JSON:
            raise errors.PayloadTooLarge(f"A JSON body is at most {MAX_JSON} bytes. Send audio with its own type.")
    return named(b"".join(upload.kept))


def named(body: bytes) -> str:
    """The URL that this JSON names. Raises BadRequest."""
    try:
        # json.loads would guess at UTF-16 and UTF-32 as well, which RFC 8259 section 8.1 rules out.
        members = json.loads(body.decode(), object_pairs_hook=_Members)
    except (ValueError, RecursionError):
        raise errors.BadRequest('The body is not JSON. Send {"url": "https://…"}, or audio as audio/*.') from None
    # Some parsers take the first of two equal names and some the last; some do not distinguish "URL" from "url".
    found = [(name, value) for name, value in members if name.casefold() == "url"] if _is_object(members) else []
    if len(found) != 1 or found[0][0] != "url" or not isinstance(found[0][1], str):
        raise errors.BadRequest('The JSON body has not exactly one "url". Send {"url": "https://…"}.')
    return str(found[0][1])


class _Members(list[tuple[str, Any]]):
    """An object's members in their order, repeated names included."""


def _is_object(value: Any) -> bool:
    return isinstance(value, _Members)
