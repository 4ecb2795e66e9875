"""What is wrong with a request's parameters, in our own sentences: the field, what was got, what is allowed.

The models' own messages speak of patterns and Python types and are never sent. What was got is repeated, shortened,
where it can be no secret.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from aldea.redaction import redact_text

# Faults of one request that are named; more would not help.
MAX_FAULTS: Final = 5
# Characters of a value, or of a name that a client made up, that are repeated.
SHOWN_CHARACTERS: Final = 60
# Of the names that are allowed in place of an unknown one; the reference has them all.
_MOST_NAMES: Final = 20

# Fields that hold a password or a credential.
_SECRET: Final = re.compile(r"password|(?<!page_)token|secret|device|replaces", re.IGNORECASE)
_SPELLED: Final[dict[str, str]] = {}


def spelled(words: str, pattern: str) -> str:
    """`pattern`, for a field of a model; `words`: what it allows, for people."""
    _SPELLED[pattern] = words
    return pattern


# What a name or a line for people holds none of: control characters, separators of lines, and what turns the direction
# of the text around it. It would break lists, terminals and CSV, or make one name look like another.
_UNREADABLE: Final = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufff0-\ufffb\ufffe\uffff"
# What shows nothing by itself, and is needed between other characters at most: joiners, selectors, fillers, tags.
_INVISIBLE: Final = (
    r"\s\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\u2060-\u2065\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0"
    f"{chr(0xE0000)}-{chr(0xE0FFF)}"
)
SOMETHING_TO_READ: Final = spelled(
    "one line of text with something to read in it, without control characters",
    rf"^[^{_UNREADABLE}]*[^{_UNREADABLE}{_INVISIBLE}][^{_UNREADABLE}]*$",
)
# A line for people that may also be empty, but not of blanks: that would look like none, and be one.
ONE_LINE: Final = spelled(
    "one line of text, not of blanks alone, without control characters",
    rf"^(?:[^{_UNREADABLE}]*[^{_UNREADABLE}{_INVISIBLE}][^{_UNREADABLE}]*)?$",
)
# An e-mail address that becomes somebody's name here: nothing in it that cannot be seen, or two would look alike.
NEW_EMAIL: Final = spelled(
    "an e-mail address, as name@example.com, without invisible characters",
    rf"^[^@{_UNREADABLE}{_INVISIBLE}]+@[^@{_UNREADABLE}{_INVISIBLE}]+$",
)
# A text of any kind, also none; PostgreSQL does not store a NUL.
NO_NUL: Final = spelled("a text without a NUL character", r"^[^\x00]*$")

ZONED: Final = "a time with a zone, as 2026-03-31T12:00:00Z"
# What is allowed, by the kind of the fault. {names}: the limits that the model sets.
_ALLOWED: Final[Mapping[str, str]] = {
    "missing": "a value; it is required",
    "json_invalid": "a JSON object in UTF-8",
    "json_type": "a JSON object",
    "model_type": "a JSON object",
    "model_attributes_type": "a JSON object",
    "dict_type": "a JSON object",
    "list_type": "a list",
    "string_type": "a text",
    "string_unicode": "a text in UTF-8",
    "string_too_short": "at least {min_length} character{min_length:s}",
    "string_too_long": "at most {max_length} character{max_length:s}",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "multiple_of": "a multiple of {multiple_of}",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "uuid_type": "a UUID",
    "uuid_parsing": "a UUID",
    "uuid_version": "a UUID",
    "date_type": "a day as 2026-03-31",
    "date_parsing": "a day as 2026-03-31",
    "date_from_datetime_parsing": "a day as 2026-03-31",
    "date_from_datetime_inexact": "a day as 2026-03-31",
    "datetime_type": ZONED,
    "datetime_parsing": ZONED,
    "datetime_object_invalid": ZONED,
    "datetime_from_date_parsing": ZONED,
    "timezone_aware": ZONED,
}
# Kinds whose input is the whole that lacks something.
_ABSENT: Final = frozenset({"missing"})
_OTHERWISE: Final = "see the API reference, /v1/docs"


class Incomplete(ValueError):
    """Fields that need others beside them. `got`: what is there, for people; the error's text: what is allowed."""

    def __init__(self, got: str, allowed: str) -> None:
        super().__init__(allowed)
        self.got = got


class _Limit(int):
    """A number that with the format "s" is the plural's letter."""

    def __format__(self, spec: str) -> str:
        return ("" if self == 1 else "s") if spec == "s" else super().__format__(spec)


def explain(model: type[BaseModel], error: ValidationError) -> str:
    """One text for all faults of a request that `model` could not read."""
    found = [_explain_fault(model, fault) for fault in error.errors(include_url=False)]
    more = f" {len(found) - MAX_FAULTS} more faults." if len(found) > MAX_FAULTS else ""
    return "Unusable parameters: " + " ".join(found[:MAX_FAULTS]) + more + " Correct this and send it again."


def _explain_fault(model: type[BaseModel], fault: ErrorDetails) -> str:
    return f"{_place(model, fault)}: got {_got(fault)}; allowed: {_allowed(model, fault)}."


def _place(model: type[BaseModel], fault: ErrorDetails) -> str:
    """The field's name as a client writes it; an entry of a list by its number, from 0."""
    place = ""
    for part in fault["loc"]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif not place:
            place = part if part in _names(model) else _shown(part)
    return place or ("parameters" if fault["type"] == "value_error" else "body")


def _got(fault: ErrorDetails) -> str:
    value = fault["input"]
    if fault["type"] in _ABSENT:
        return "nothing"
    if fault["type"] == "json_invalid":
        return "no JSON"
    if not fault["loc"] and fault["type"] == "value_error":
        error = fault.get("ctx", {}).get("error")
        return error.got if isinstance(error, Incomplete) else "values that contradict each other"
    if not fault["loc"] or isinstance(value, dict | list | tuple):
        return _kind(value)
    if fault["type"] in {"string_too_short", "string_too_long"}:
        return "an empty text" if not value else f"{len(value)} character{_Limit(len(value)):s}"
    if any(_SECRET.search(str(part)) for part in fault["loc"]):
        return f"{_kind(value)} (not shown)"
    if isinstance(value, str):
        return _shown(value)
    if value is None or isinstance(value, bool | int | float):
        return _shortened(json.dumps(value)) if not isinstance(value, int) or abs(value) < 10**18 else "a huge number"
    return _kind(value)


def _kind(value: object) -> str:
    kinds: tuple[tuple[type | tuple[type, ...], Callable[[Any], str]], ...] = (
        (dict, lambda _: "an object"),
        ((list, tuple), lambda found: f"a list of {len(found)}"),
        (str, lambda _: "a text"),
        (bool, json.dumps),
        ((int, float), lambda _: "a number"),
        (type(None), lambda _: "null"),
    )
    return next((words(value) for kind, words in kinds if isinstance(value, kind)), "another kind of value")


def _allowed(model: type[BaseModel], fault: ErrorDetails) -> str:
    context = fault.get("ctx", {})
    match fault["type"]:
        case "value_error":  # one of ours; its text is what is allowed
            return str(context["error"]).rstrip(".")
        case "string_pattern_mismatch":
            return _SPELLED.get(context["pattern"], _OTHERWISE)
        case "extra_forbidden":
            return f"{', '.join(_names(model))}; this is none of them"
    words = _ALLOWED.get(fault["type"], _OTHERWISE)
    return words.format_map({name: _limit(value) for name, value in context.items()})


def _limit(value: object) -> object:
    """A bound as people write it: 1, not 1.0."""
    whole = type(value) is int or (isinstance(value, float) and value.is_integer())
    return _Limit(value) if whole else value  # type: ignore[call-overload]


def _names(model: type[BaseModel]) -> list[str]:
    """The fields of a model, those of its own class first: what is inherited from another is the more general."""
    fields = model.model_fields
    own = dict.fromkeys(
        name for each in model.__mro__ for name in vars(each).get("__annotations__", ()) if name in fields
    )
    names = [fields[name].alias or name for name in own]
    more = len(names) - _MOST_NAMES
    return names if more <= 0 else [*names[:_MOST_NAMES], f"{more} others (see the reference, /v1/docs)"]


def _shown(text: str) -> str:
    return "an empty text" if not text else repr(_shortened(text))


def _shortened(text: str) -> str:
    # Shortened before anything looks for credentials in it, and a cut one is still one.
    found = redact_text(text[: 2 * SHOWN_CHARACTERS])
    return found if len(text) <= SHOWN_CHARACTERS else found[:SHOWN_CHARACTERS] + "…"
