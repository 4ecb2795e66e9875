"""A response as JSON: a long list item by item, so that other requests do not wait for it."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import to_json

from aldea.turns import in_turns

# A list of more items than this is long.
MANY: Final = 100


async def encoded(response: BaseModel | Mapping[str, Any]) -> bytes:
    """The JSON of a model, or of plain values in a model's shape."""
    if isinstance(response, BaseModel):
        values: Mapping[str, Any] = {name: getattr(response, name) for name in type(response).model_fields}
    else:
        values = response
    if not any(_long(value) for value in values.values()):
        return response.model_dump_json().encode() if isinstance(response, BaseModel) else to_json(response)
    members = []
    for name, value in values.items():
        if _long(value):
            text = b"[%b]" % b",".join([to_json(item) async for item in in_turns(value)])
        else:
            text = to_json(value)
        members.append(b"%b:%b" % (to_json(name), text))
    return b"{%b}" % b",".join(members)


def _long(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > MANY
