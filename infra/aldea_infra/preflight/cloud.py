"""How preflight reads an account: a client per service, calls that only read, and every refusal as a row."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import botocore.exceptions
import botocore.session
from botocore.config import Config

# Of all calls together; what is left then is reported as not read.
WITHIN_SECONDS: Final = 180.0
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 15, 4
PAGES: Final = 100
# Global Accelerator has its API in one region, whatever the stack's.
HOME: Final = {"globalaccelerator": "us-west-2", "route53": "us-east-1", "iam": "us-east-1"}
DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
THROTTLED: Final = frozenset(
    {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "RequestThrottled"}
)


class Status(StrEnum):
    """What a row requires of the reader."""

    OK = "ok"
    LOOK = "look"  # cannot be decided from here; the row says how
    DO = "do"  # a deployment would be refused or cut off
    UNKNOWN = "unknown"  # AWS did not let us read it


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `action`: what to do; empty where there is nothing to do."""

    check: str
    status: Status
    found: str
    action: str = ""


Rows = Iterator[Row]


class OutOfTime(Exception):
    """WITHIN_SECONDS are over."""


@dataclass(slots=True)
class Cloud:
    """Clients of one account and region. `make` makes a service's client."""

    make: Callable[[str], Any]
    clock: Callable[[], float] = time.monotonic
    within: float = WITHIN_SECONDS
    _clients: dict[str, Any] = field(default_factory=dict)
    _until: float = 0.0

    def __post_init__(self) -> None:
        self._until = self.clock() + self.within

    def read(self, service: str, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """The response of one call. Raises ClientError, BotoCoreError or OutOfTime."""
        if self.clock() >= self._until:
            raise OutOfTime(f"not read within {self.within:g} s")
        if service not in self._clients:
            self._clients[service] = self.make(service)
        found: Mapping[str, Any] = getattr(self._clients[service], operation)(**arguments)
        return found

    def read_or_none(self, service: str, operation: str, absent: str, **arguments: Any) -> Mapping[str, Any] | None:
        """The response, or None where the error's code begins with `absent` or contains it: there is no such thing."""
        try:
            return self.read(service, operation, **arguments)
        except botocore.exceptions.ClientError as error:
            if absent in _code(error):
                return None
            raise

    def pages(
        self, service: str, operation: str, key: str, token: tuple[str, str] = ("NextToken", "NextToken"), **given: Any
    ) -> Iterator[Any]:
        """The items of every page. `token`: the names of the next page's mark, in the request and in the response."""
        request_mark, response_mark = token
        for _ in range(PAGES):
            page = self.read(service, operation, **given)
            yield from page.get(key, ())
            if not page.get(response_mark):
                return
            given[request_mark] = page[response_mark]


def guarded(check: str, rows: Callable[[], Rows]) -> Rows:
    """The rows of a check; where AWS refuses a call or does not respond, a row that says so instead of the rest."""
    try:
        yield from rows()
    except botocore.exceptions.ClientError as error:
        yield Row(check, Status.UNKNOWN, *_refusal(error))
    except (botocore.exceptions.BotoCoreError, OutOfTime) as error:
        yield Row(check, Status.UNKNOWN, _line(error), "run it again; then look at the network and the region")


def _refusal(error: botocore.exceptions.ClientError) -> tuple[str, str]:
    code, operation = _code(error), error.operation_name
    if code in DENIED:
        return f"{operation} is denied", f"run it with a role that may {operation}, such as an administrator's"
    if code in THROTTLED:
        return f"{operation} is throttled ({code})", "run it again in a minute"
    return f"{operation} failed: {code}: {_line(error.response['Error'].get('Message', ''))}", "look it up manually"


def _code(error: botocore.exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _line(said: object) -> str:
    """One line of a message, of a bounded length."""
    return " ".join(str(said).split())[:200]


def clients(session: botocore.session.Session, region: str) -> Callable[[str], Any]:
    """Makes clients with deadlines and retries."""
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "max_attempts": ATTEMPTS},
    )
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    return lambda service: session.create_client(
        service, region_name=HOME.get(service, region), endpoint_url=endpoint, config=config
    )
