"""Small bodies of requests, whole: in time, decompressed, decoded. Whatever is wrong with one is the client's error.

Every service that reads a body of JSON or a form reads it here, so that a fault of encoding is refused alike by all.
"""

from typing import Final
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from multidict import MultiDict, MultiDictProxy

from aldea import errors, faults
from aldea.content_coding import coding, decompressed
from aldea.tasks import Deadline

# A small body that has not arrived within so many seconds is given up.
BODY_SECONDS: Final = 10.0
# More fields than any form of ours has, many times over.
MAX_FIELDS: Final = 1000
FORM_TYPE: Final = "application/x-www-form-urlencoded"

Form = MultiDictProxy[str]

_FORM: Final = web.RequestKey("form", MultiDictProxy[str])


async def read(request: web.Request, *, seconds: float = BODY_SECONDS) -> bytes:
    """The whole body, decompressed, of at most the application's `client_max_size` bytes before and after that.

    Raises BadRequest, SlowUpload, PayloadTooLarge, UnprocessableEntity, and ConnectionError if the client has left.
    """
    header = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, []))
    coding(header)  # refused before it is waited for
    try:
        with Deadline(seconds):
            raw = await request.read()
    except TimeoutError:
        raise errors.SlowUpload(f"The body did not arrive within {seconds:g} s. Send it again.") from None
    except Exception as error:
        fault = faults.of_body(error)
        if fault is None:
            raise
        raise fault from None
    return decompressed(raw, header, request.client_max_size)


async def form(request: web.Request) -> Form:
    """The fields of a form (application/x-www-form-urlencoded, UTF-8); none where there is no body. Raises as `read`.

    Multipart forms are refused: no page of ours sends one.
    """
    known: Form | None = request.get(_FORM)
    if known is None:
        raw = await read(request)
        known = request[_FORM] = MultiDictProxy(MultiDict(_fields(raw, request) if raw else []))
    return known


def _fields(raw: bytes, request: web.Request) -> list[tuple[str, str]]:
    if request.content_type != FORM_TYPE:
        raise errors.BadRequest(f"A form is sent as {FORM_TYPE}; got {request.content_type!r:.80}.")
    charset = request.charset
    if charset is not None and charset.lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise errors.BadRequest(f"The form's charset is {charset!r:.40}; forms are sent in UTF-8.")
    try:
        return parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:  # a UnicodeDecodeError is one
        raise errors.BadRequest(f"The form is not UTF-8, or has more than {MAX_FIELDS} fields.") from None
