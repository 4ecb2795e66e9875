"""Trace context as it travels in headers (https://www.w3.org/TR/trace-context/, level 1). Performs no I/O."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

# Section 3.2.2. Of a version that is not known the same four fields are read, and what follows behind a dash is not.
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]{0,512})?")
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16
_SAMPLED: Final = 1
# Section 3.3.1.3: a key, with or without a tenant, and its value.
_MEMBER: Final = re.compile(
    r"([a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})=([ -+\--<>-~]{1,256})"
)
MAX_MEMBERS: Final = 32
# Section 3.3.1.5: so much has to be passed on, and of more the long members go first.
MAX_STATE: Final = 512
LONG_MEMBER: Final = 128


class Context(NamedTuple):
    """Where a request is in its trace: the ids in lower-case hex, as the headers have them."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""

    @property
    def traceparent(self) -> str:
        """The header's value."""
        return f"00-{self.trace_id}-{self.span_id}-0{self.sampled:d}"

    def headers(self) -> dict[str, str]:
        """What passes this on to the next hop."""
        passed = {TRACEPARENT: self.traceparent}
        if self.state:
            passed[TRACESTATE] = self.state
        return passed


def read_context(traceparent: Sequence[str], tracestate: Sequence[str] = ()) -> Context | None:
    """The context of a request with these header values; None: it begins a trace of its own.

    Whatever does not fit the specification is as if it were not there (section 4.3).
    """
    if len(traceparent) != 1:
        return None
    found = _TRACEPARENT.fullmatch(traceparent[0].strip(" \t"))
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return Context(trace_id, span_id, bool(int(flags, 16) & _SAMPLED), _read_state(tracestate))


# What `Context.traceparent` writes for a trace that is recorded.
RECORDED: Final = r"00-[0-9a-f]{32}-[0-9a-f]{16}-01"
_RECORDED: Final = re.compile(RECORDED)


def is_recorded(value: object) -> bool:
    """Whether `value` is the traceparent of a trace that is recorded, as it is written here."""
    return isinstance(value, str) and _RECORDED.fullmatch(value) is not None


def trace_id_of(traceparent: str) -> str:
    """The trace's id in what `Context.traceparent` wrote; "" of ""."""
    return traceparent[3:35]


def _read_state(values: Sequence[str]) -> str:
    """The vendors' own members, at most MAX_STATE characters; "" if there are none or something is wrong with them."""
    members = [member.strip(" \t") for value in values for member in value.split(",")]
    members = [member for member in members if member]
    if len(members) > MAX_MEMBERS:
        return ""
    keys = set()
    for member in members:
        found = _MEMBER.fullmatch(member)
        if found is None or found[1] in keys:
            return ""
        keys.add(found[1])
    size = sum(map(len, members)) + len(members) - 1
    from_behind = members[::-1]
    for member in sorted(from_behind, key=lambda member: len(member) <= LONG_MEMBER):
        if size <= MAX_STATE:
            break
        members.remove(member)
        size -= len(member) + 1
    return ",".join(members)
