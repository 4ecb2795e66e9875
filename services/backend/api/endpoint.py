"""An endpoint as data: method, path, guard, models, errors; served, and documented, from that data alone."""

import asyncio
import codecs
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from aldea import credentials
from aldea.errors import ApiError, BadRequest, GatewayTimeout, NotFound, ProjectNotFound
from aldea.headers import request_id
from aldea.service import payload
from backend.api.access import Access, Caller, InProject, KeyCaller, Operator, Public, SessionCaller
from backend.api.authentication import AUTHENTICATOR
from backend.api.download import Download, send
from backend.api.encoding import encoded
from backend.api.faults import Incomplete, explain
from backend.idempotency.service import HEADER as IDEMPOTENCY_KEY
from backend.idempotency.service import IDEMPOTENCY, read_key

# The largest body any endpoint takes; all are small JSON objects.
MAX_BODY_BYTES: Final = 64 * 1024
# Beyond what a statement and a connection may take together, so that their clearer errors come first.
HANDLER_SECONDS: Final = 30.0


class DomainError(Exception):
    """What a domain's service refuses; the domain's table says which error of the contract that is."""


ErrorTable: TypeAlias = Mapping[type[DomainError], type[ApiError]]


class Body(BaseModel):
    """A JSON body: strict types, unknown fields ignored as the public API does.

    A null for a field that need not be there counts as its absence, and 300.0 as the whole number that it is: some of
    the public API's clients send both.
    """

    model_config = ConfigDict(frozen=True, strict=True)


class OwnBody(Body):
    """The body of an address that the public API does not have: a name that is none of its fields is refused.

    Else a limit, an end or an amount whose name is misspelt would be none, and nobody would know.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Changes(Body):
    """What a PATCH changes: at least one field, or the caller would take a misspelt one for changed."""

    # Whether null is a value to change to; else it counts as the field's absence.
    null_is_a_change: ClassVar[bool] = False

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not any(self.null_is_a_change or getattr(self, name) is not None for name in self.model_fields_set):
            raise Incomplete("no change", f"at least one of {', '.join(type(self).model_fields)}")
        return self


class Query(BaseModel):
    """A query string; numbers and dates are read from text, unknown parameters ignored unless a model forbids them."""

    model_config = ConfigDict(frozen=True)


class ResponseModel(BaseModel):
    """A JSON response; every field is always present."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


@dataclass(frozen=True, slots=True)
class Plain:
    """A response as plain values in its model's shape, for long lists.

    A model's objects would cost most of the request's time. What a model checks on the way in, a test has to check of
    these.
    """

    values: Mapping[str, Any]


class Message(ResponseModel):
    """The public API's response to a change that has nothing else to say."""

    message: str


# "pending": the change is stored, but Redis was unavailable; the proxies apply it once Redis is back.
PropagationState = Literal["complete", "pending"]


def propagation(propagated: bool) -> PropagationState:
    """In the API's words, whether the proxies know of a change already."""
    return "complete" if propagated else "pending"


class Change(Message):
    """A change that the proxies must know of. `propagation`: whether they do, or will once Redis is back."""

    propagation: PropagationState

    @classmethod
    def of(cls, message: str, *, propagated: bool) -> Self:
        """The response with this `message`."""
        return cls(message=message, propagation=propagation(propagated))


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that passed its guard, with what its endpoint's models read from it."""

    request: web.Request
    access: Access
    found_caller: Caller | None
    parameters: Mapping[str, str]
    body: Any
    query: Any

    @property
    def app(self) -> web.Application:
        """The application, to reach services by their keys."""
        return self.request.app

    @property
    def caller(self) -> Caller:
        """Who calls; endpoints that are guarded by nothing have none."""
        assert self.found_caller is not None
        return self.found_caller

    @property
    def session(self) -> SessionCaller:
        """The signed-in user, behind a guard that lets only sessions through."""
        assert isinstance(self.found_caller, SessionCaller)
        return self.found_caller

    @property
    def project_id(self) -> str:
        """The project that the path names."""
        return self.parameters["project_id"]

    @property
    def actor(self) -> "Actor":
        """For the audit log: who does this, by which request."""
        caller = self.found_caller
        if caller is None:
            return Actor(kind="system", actor_id=None, request_id=request_id(self.request))
        # An operator acts as one only where others may not; in their own projects they are members like any.
        kind = "key" if isinstance(caller, KeyCaller) else "operator" if isinstance(self.access, Operator) else "user"
        actor_id = caller.key_id if isinstance(caller, KeyCaller) else caller.user_id
        return Actor(kind=kind, actor_id=actor_id, request_id=request_id(self.request))


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who made a change. `kind`: user, key, operator or system."""

    kind: str
    actor_id: str | None
    request_id: str | None


SYSTEM: Final = Actor(kind="system", actor_id=None, request_id=None)

Handler: TypeAlias = Callable[[Call], Awaitable[BaseModel | Plain | Download | web.StreamResponse | None]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Endpoint:
    """One method on one path; a constant, which is the same only as itself.

    `response`: the model of the response, None for 204. `media_type`: its content type, where that is not JSON.
    `body_optional`: an absent body means the body model's defaults. `raises`: the domain errors that it can meet.
    `refuses`: errors of the contract that the handler itself raises.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    summary: str
    tag: str
    response: type[BaseModel] | None = None
    status: int = 200
    body: type[Body] | None = None
    body_optional: bool = False
    query: type[Query] | None = None
    media_type: str = "application/json"
    raises: tuple[type[DomainError], ...] = ()
    refuses: tuple[type[ApiError], ...] = ()
    errors: ErrorTable

    @property
    def operation_id(self) -> str:
        """The handler's name: unique over the API, and what generated clients call it."""
        return str(getattr(self.handler, "__name__", ""))

    @property
    def once(self) -> bool:
        """Whether it takes an `Idempotency-Key`: what other methods do has the effect of once by itself."""
        return self.method == "POST"


def register(app: web.Application, endpoints: Iterable[Endpoint]) -> None:
    """Serve `endpoints`."""
    for endpoint in endpoints:
        # aiohttp's own pattern of a parameter leaves braces out, which an e-mail address may have (RFC 5322 atext).
        path = re.sub(r"{(\w+)}", r"{\1:[^/]+}", endpoint.path)
        app.router.add_route(endpoint.method, path, _served(endpoint), name=endpoint.operation_id)


def _served(endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        first = b""
        try:
            async with asyncio.timeout(HANDLER_SECONDS):
                key = read_key(request.headers.getall(IDEMPOTENCY_KEY, [])) if endpoint.once else None
                call = await _admit(endpoint, request)
                if key is not None:
                    return await _served_once(endpoint, call, key)
                response = await endpoint.handler(call)
                if isinstance(response, Download):
                    first = await anext(response.pieces, b"")
        except DomainError as error:
            raise endpoint.errors[type(error)](str(error)) from error
        except TimeoutError:
            raise GatewayTimeout("The request took too long and was given up. Try again, or request less.") from None
        if isinstance(response, web.StreamResponse):
            return response
        if isinstance(response, Download):
            return await send(request, response, first, endpoint.media_type)
        return await _whole(endpoint, response)

    return serve


async def _served_once(endpoint: Endpoint, call: Call, key: str) -> web.StreamResponse:
    request = call.request

    async def run() -> web.Response:
        response = await endpoint.handler(call)
        assert not isinstance(response, Download | web.StreamResponse)
        return await _whole(endpoint, response)

    return await request.app[IDEMPOTENCY].once(
        key,
        credential=None if isinstance(endpoint.access, Public) else credentials.text_from_request(request),
        method=endpoint.method,
        path=request.rel_url.raw_path_qs,
        body=b"" if endpoint.body is None else await payload.read(request),
        run=run,
    )


async def _whole(endpoint: Endpoint, response: BaseModel | Plain | None) -> web.Response:
    if response is None:
        return web.Response(status=204)
    body = await encoded(response.values if isinstance(response, Plain) else response)
    return web.Response(status=endpoint.status, body=body, content_type="application/json")


async def _admit(endpoint: Endpoint, request: web.Request) -> Call:
    """Check the credential first, so that a caller without one learns nothing of valid requests; then the models."""
    parameters: dict[str, str] = {}
    caller: Caller | None = None
    if isinstance(endpoint.access, Public):
        parameters = _path_parameters(request)
    else:
        authenticator = request.app[AUTHENTICATOR]
        caller, remembered = await authenticator.authenticate(request)
        parameters = _path_parameters(request)
        try:
            _check(endpoint.access, caller, parameters)
        except ApiError:
            if not remembered:
                raise
            # Nobody is refused from memory: what they were just given elsewhere may not have arrived here yet.
            caller, _ = await authenticator.authenticate(request, afresh=True)
            _check(endpoint.access, caller, parameters)
    query = None if endpoint.query is None else _read_query(endpoint.query, request)
    body = None if endpoint.body is None else await _read_body(endpoint, endpoint.body, request)
    return Call(
        request=request,
        access=endpoint.access,
        found_caller=caller,
        parameters=parameters,
        body=body,
        query=query,
    )


def _check(access: Access, caller: Caller, parameters: Mapping[str, str]) -> None:
    if isinstance(access, InProject):
        access.check_in(caller, parameters["project_id"])
    elif not isinstance(access, Public):
        access.check(caller)


def _path_parameters(request: web.Request) -> dict[str, str]:
    """The path's parameters, ids in canonical form. An id that is none names nothing: 404."""
    found = {}
    for name, value in request.match_info.items():
        if "\0" in value:
            raise NotFound(f"{name}: holds a NUL, which no name here does.")
        try:
            found[name] = str(UUID(value)) if name.endswith("_id") else value
        except ValueError:
            missing = ProjectNotFound if name == "project_id" else NotFound
            raise missing(f"{name}: got {value!r:.60}, which is no id. Ids are UUIDs, as lists show them.") from None
    return found


def _read_query(model: type[Query], request: web.Request) -> Query:
    values: dict[str, Any] = {}
    if any("\0" in value for value in request.query.values()):
        raise BadRequest("Unusable parameters: the query holds a NUL, which no value here does.")
    for name, field in model.model_fields.items():
        found = request.query.getall(field.alias or name, [])
        if found:
            # A field that is a list may be repeated; of anything else the last one counts.
            values[field.alias or name] = found if _is_list(field.annotation) else found[-1]
    if model.model_config.get("extra") == "forbid":
        values |= {name: value for name, value in request.query.items() if name not in values}
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise BadRequest(explain(model, error)) from None


def _is_list(annotation: Any) -> bool:
    return "list[" in str(annotation) or "tuple[" in str(annotation)


async def _read_body(endpoint: Endpoint, model: type[Body], request: web.Request) -> Body:
    # Some programs put a byte order mark in front, which may be ignored (RFC 8259 section 8.1).
    raw = (await payload.read(request)).removeprefix(codecs.BOM_UTF8)
    if not raw and endpoint.body_optional:
        raw = b"{}"
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        faults = error
    if (written := _rewritten(model, raw, faults)) is not None:
        try:
            return model.model_validate_json(written)
        except ValidationError as error:
            faults = error
    raise BadRequest(explain(model, faults))


def _rewritten(model: type[Body], raw: bytes, error: ValidationError) -> bytes | None:
    """The body without nulls for absent fields and with whole numbers written as such; None if it has neither."""
    changes: dict[str, Any] = {}
    absent: set[str] = set()
    for fault in error.errors(include_url=False, include_context=False):
        name, value = fault["loc"][0] if fault["loc"] else None, fault["input"]
        field = model.model_fields.get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or field is None or len(fault["loc"]) != 1:
            continue
        if value is None and not field.is_required():
            absent.add(name)
        elif isinstance(value, float) and fault["type"].startswith("int"):
            whole = json.loads(raw, parse_float=_number)[name]
            if isinstance(whole, int):
                changes[name] = whole
    if not changes and not absent:
        return None
    body = json.loads(raw)
    return json.dumps({name: changes.get(name, value) for name, value in body.items() if name not in absent}).encode()


def _number(text: str) -> int | float:
    """A number of JSON, whole if it is exactly that: 1e-400 is not 0, though it is as a float."""
    number = float(text)
    with suppress(InvalidOperation):  # an exponent beyond all bounds
        if number.is_integer() and Decimal(text) == number:
            return int(number)
    return number


def json_text(value: Any) -> str:
    """Compact JSON, for columns of type jsonb."""
    return json.dumps(value, separators=(",", ":"), default=str)
