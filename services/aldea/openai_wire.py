"""What OpenAI's two wires share: errors in their shape, the languages that are recognized. Pure.

An error is `{"error": {"message", "type", "param", "code"}}`, with the contract's own status.
"""

import json
import re
from typing import Final

from aiohttp import web

from aldea.errors import BadRequest
from aldea.headers import ERROR_HEADER

# The field that a message is about begins it.
_PARAMETER: Final = re.compile(r"([a-z_]+(?:\[\])?): ")
# Speech is recognized in this one; a transcript of another language would be nonsense, and be billed.
_ENGLISH: Final = frozenset({"en", "english"})
# The scheme that this wire's clients know, in place of the one that the contract's texts name.
_CONTRACTS_SCHEME: Final = "'Authorization: Token <key>'"
_SCHEME: Final = "'Authorization: Bearer <key>'"
_TYPES: Final = {
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("invalid_request_error", "insufficient_permissions"),
    429: ("requests", "rate_limit_exceeded"),
}


def reshaped(response: web.Response) -> web.Response:
    """An error of the contract in OpenAI's shape, its status and headers as they are; anything else unchanged."""
    text = response.text
    if response.status < 400 or text is None:
        return response
    try:
        found = json.loads(text)
        code, message = found["err_code"], found["err_msg"]
    except (ValueError, TypeError, KeyError):
        return response
    response.text = json.dumps({"error": error(response.status, code, message)})
    if ERROR_HEADER in response.headers:
        response.headers[ERROR_HEADER] = _with_scheme(response.headers[ERROR_HEADER])
    return response


def error(status: int, err_code: str, message: str) -> dict[str, str | None]:
    """An error of the contract as OpenAI's object."""
    ours = "server_error" if status >= 500 else "invalid_request_error", err_code.lower().replace(" ", "_")
    kind, named = _TYPES.get(status, ours)
    message = _with_scheme(message)
    parameter = _PARAMETER.match(message)
    return {"message": message, "type": kind, "param": parameter[1] if parameter else None, "code": named}


def _with_scheme(text: str) -> str:
    return text.replace(_CONTRACTS_SCHEME, _SCHEME)


def check_language(got: str) -> None:
    """Raise BadRequest for a language that is not recognized here; "" for none."""
    named = got.strip().lower()
    if named and named not in _ENGLISH and not named.startswith(("en-", "en_")):
        raise BadRequest(f"language: got {named!r:.40}; allowed: en. Speech is recognized in English here.")
