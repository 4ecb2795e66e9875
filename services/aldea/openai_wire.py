"""What OpenAI's two wires share: errors in their shape, the languages that are recognized. Pure.

An error is `{"error": {"message", "type", "param", "code"}}`, with the contract's own status.
"""

import json
import re
from typing import Final

from aiohttp import web

from aldea.errors import BadRequest

# The field that a message is about begins it.
_PARAMETER: Final = re.compile(r"([a-z_]+(?:\[\])?): ")
# Speech is recognized in this one; a transcript of another language would be nonsense, and be billed.
_ENGLISH: Final = frozenset({"en", "english"})
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
    return response


def error(status: int, err_code: str, message: str) -> dict[str, str | None]:
    """An error of the contract as OpenAI's object."""
    kind, named = _TYPES.get(status, ("server_error" if status >= 500 else "invalid_request_error", err_code.lower()))
    parameter = _PARAMETER.match(message)
    return {"message": message, "type": kind, "param": parameter[1] if parameter else None, "code": named}


def check_language(got: str) -> None:
    """Raise BadRequest for a language that is not recognized here; "" for none."""
    named = got.strip().lower()
    if named and named not in _ENGLISH and not named.startswith(("en-", "en_")):
        raise BadRequest(f"language: got {named!r:.40}; allowed: en. Speech is recognized in English here.")
