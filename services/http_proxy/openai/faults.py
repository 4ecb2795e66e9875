"""Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`, by the contract's own statuses. Pure."""

import json
import re
from typing import Final

from aiohttp import web

# The field that a message is about begins it.
_PARAMETER: Final = re.compile(r"([a-z_]+(?:\[\])?): ")
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
    kind, named = _TYPES.get(
        response.status, ("server_error" if response.status >= 500 else "invalid_request_error", code.lower())
    )
    parameter = _PARAMETER.match(message)
    body = {"message": message, "type": kind, "param": parameter[1] if parameter else None, "code": named}
    response.text = json.dumps({"error": body})
    return response
