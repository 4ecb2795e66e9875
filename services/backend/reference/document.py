"""The OpenAPI 3.1 document, from the same endpoints and models that serve. Pure."""

import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from aldea.errors import (
    ApiError,
    BadRequest,
    Conflict,
    GatewayTimeout,
    InsufficientPermissions,
    InvalidAuth,
    NotFound,
    PayloadTooLarge,
    ProjectNotFound,
    ServiceUnavailable,
    SlowUpload,
)
from aldea.headers import REQUEST_ID_HEADER
from backend.api.access import SCOPES, AnyCaller, InProject, Operator, Public
from backend.api.endpoint import DomainError, Endpoint, Query, ResponseModel
from backend.idempotency.service import HEADER

Json: TypeAlias = dict[str, Any]

OPENAPI: Final = "3.1.1"
TITLE: Final = "Aldea Platform API"
VERSION: Final = "1"
INTRODUCTION: Final = """\
Accounts, projects, members, API keys, usage and bills. The management addresses have the shapes of the public
management API, so its SDKs work by changing their base URL.

Send `Authorization: Token <API key>` or `Authorization: Bearer <API key or session token>`. A key works in the project
that it was made in, as far as its scopes go; a signed-in member may do what their role allows. The ids of other
projects give 404, as if there were none.

Every response carries `dg-request-id`. Every error has one shape, `{"err_code", "err_msg", "request_id"}`; 429 and 503
say in `Retry-After` when to try again. A 500 is our fault and logged under its request id.

Every POST takes an `Idempotency-Key`: repeated with the same key within 24 hours, it is carried out once, and the
response is that of the first time (`Idempotency-Replayed: true`).

Unknown fields of a body are ignored. Bodies are JSON of at most 64 KiB. Times are RFC 3339, days are UTC days.
"""

KEY: Final = "ApiKey"
SESSION: Final = "Session"
_SCHEMES: Final[Json] = {
    KEY: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "org_…",
        "description": "An API key; `Authorization: Token <key>` does the same. What needs a scope lists it.",
    },
    SESSION: {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "sess_…",
        "description": "A session token, as signing in returns it.",
    },
}

_HEADERS: Final[Json] = {
    REQUEST_ID_HEADER: {
        "description": "The id of this request",
        "required": True,
        "schema": {"type": "string", "format": "uuid"},
    },
    "Retry-After": {
        "description": "Seconds until a retry makes sense",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    },
}

_PARAMETERS: Final[Mapping[str, str]] = {
    "project_id": "The project",
    "key_id": "The API key's id, not its text",
    "credit_id": "A new UUID of yours; the same one is the same credit",
    "member_id": "The member's id, as the list of members shows it",
    "request_id": "The request's id: the `dg-request-id` of its response",
    "balance_id": "The balance; it has its project's id",
    "incident_id": "The incident's id",
    "model": "The model's `uuid` in the list of models, or its name",
    "model_id": "The model's id, its `uuid` in the list of models",
    "webhook_id": "The webhook",
    "delivery_id": "The delivery, as the list of deliveries shows it",
    "email": "The address that was invited",
    "month": "A UTC month that has begun, as YYYY-MM",
}
_ONCE: Final[Json] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A new UUID for each request; the same one for its repetitions",
    "schema": {"type": "string"},
}
_RETRIES: Final = frozenset({429, 503})


class ErrorResponse(ResponseModel):
    """Every error. `err_msg` says what was got, what is allowed and what to do next."""

    err_code: str = Field(description="The kind of error, for programs")
    err_msg: str = Field(description="What happened, for people")
    request_id: str = Field(description="The id of this request, as in dg-request-id")


class _Plain(GenerateJsonSchema):
    """No titles made from the names of fields, which the schema has already."""

    def field_title_should_be_set(self, _schema: Any) -> bool:
        return False


def document(endpoints: Sequence[Endpoint]) -> Json:
    """The document of these endpoints."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(ErrorResponse, "serialization")]
    wanted += [(endpoint.body, "validation") for endpoint in endpoints if endpoint.body is not None]
    wanted += [(endpoint.response, "serialization") for endpoint in endpoints if endpoint.response is not None]
    places, definitions = models_json_schema(
        list(dict.fromkeys(wanted)), ref_template="#/components/schemas/{model}", schema_generator=_Plain
    )
    schemas = {name: _untitled(schema) for name, schema in definitions["$defs"].items()}
    for endpoint in endpoints:
        if endpoint.body is not None:
            name = places[endpoint.body, "validation"]["$ref"].rpartition("/")[2]
            schemas[name] = _of_body(schemas[name])
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, places)
    return {
        "openapi": OPENAPI,
        "info": {"title": TITLE, "version": VERSION, "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for endpoint in endpoints)],
        "paths": paths,
        "components": {"schemas": schemas, "headers": _HEADERS, "securitySchemes": _SCHEMES},
    }


def refusals(endpoint: Endpoint) -> list[tuple[type[ApiError], str]]:
    """Every error that an endpoint can respond with, and when."""
    found: list[tuple[type[ApiError], str]] = [
        (BadRequest, "Unusable parameters, or not HTTP/1.1"),
        (ServiceUnavailable, "The database does not respond at the moment, or the service restarts"),
        (GatewayTimeout, "It took too long and was given up"),
    ]
    if not isinstance(endpoint.access, Public):
        found.append((InvalidAuth, "No credential, or an unknown, revoked or expired one"))
    if not isinstance(endpoint.access, Public | AnyCaller):
        found.append((InsufficientPermissions, "The credential may not do this"))
    names = _names(endpoint.path)
    if "project_id" in names:
        found.append((ProjectNotFound, "No such project, or none that the credential may see"))
    if names != ["project_id"] * len(names):
        found.append((NotFound, "No such thing in this project"))
    if endpoint.body is not None:
        found += [(SlowUpload, "The body came too slowly"), (PayloadTooLarge, "The body is larger than 64 KiB")]
    if endpoint.once:
        found.append((Conflict, "The Idempotency-Key is another request's, or its first request still runs"))
    found += [(endpoint.errors[kind], _sentence(kind)) for kind in endpoint.raises]
    found += [(kind, _sentence(kind)) for kind in endpoint.refuses]
    return found


def _operation(endpoint: Endpoint, places: Mapping[Any, Json]) -> Json:
    operation: Json = {
        "operationId": endpoint.operation_id,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": inspect.cleandoc(endpoint.handler.__doc__ or ""),
        "parameters": [
            *map(_path_parameter, _names(endpoint.path)),
            *_query_parameters(endpoint.query),
            *([_ONCE] if endpoint.once else []),
        ],
        "responses": {},
        "security": _security(endpoint),
    }
    if endpoint.body is not None:
        schema = places[endpoint.body, "validation"]
        operation["requestBody"] = {
            "required": not endpoint.body_optional,
            "content": {"application/json": {"schema": schema}},
        }
    responses = operation["responses"]
    good: Json = {"description": endpoint.summary, "headers": _headers(endpoint.status)}
    if endpoint.response is not None:
        good["description"] = _sentence(endpoint.response)
        good["content"] = {endpoint.media_type: {"schema": places[endpoint.response, "serialization"]}}
    elif endpoint.media_type != "application/json":
        good["content"] = {endpoint.media_type: {"schema": {"type": "string"}}}
    responses[str(endpoint.status)] = good
    error = places[ErrorResponse, "serialization"]
    by_status: dict[int, list[tuple[type[ApiError], str]]] = {}
    for kind, when in refusals(endpoint):
        by_status.setdefault(kind.status, []).append((kind, when))
    for status, kinds in sorted(by_status.items()):
        codes = sorted({kind.err_code for kind, _ in kinds})
        responses[str(status)] = {
            "description": "; ".join(dict.fromkeys(when.rstrip(".") for _, when in kinds)),
            "headers": _headers(status),
            "content": {"application/json": {"schema": {**error, "properties": {"err_code": {"enum": codes}}}}},
        }
    return operation


def _security(endpoint: Endpoint) -> list[Json]:
    access = endpoint.access
    if isinstance(access, Public):
        return []
    if isinstance(access, AnyCaller):
        return [{KEY: []}, {SESSION: []}]
    if isinstance(access, InProject):
        # For other schemes than OAuth the list names what the caller needs (OpenAPI 3.1, Security Requirement Object).
        session = {SESSION: [access.scope]}
        return [session] if access.signed_in or access.scope not in SCOPES else [{KEY: [access.scope]}, session]
    return [{SESSION: ["operator"] if isinstance(access, Operator) else []}]


def _path_parameter(name: str) -> Json:
    schema: Json = {"type": "string", "format": "uuid"} if name.endswith("_id") else {"type": "string"}
    return {"name": name, "in": "path", "required": True, "description": _PARAMETERS[name], "schema": schema}


def _query_parameters(model: type[Query] | None) -> Iterable[Json]:
    if model is None:
        return
    whole = model.model_json_schema(schema_generator=_Plain)
    for name, schema in whole["properties"].items():
        described = _present(schema)
        yield {
            "name": name,
            "in": "query",
            "required": name in whole.get("required", ()),
            "description": described.pop("description", ""),
            "schema": described,
        }


def _present(schema: Json) -> Json:
    """The schema of a parameter that is there: text in a query string is never null."""
    found = {name: value for name, value in schema.items() if name not in {"anyOf", "default"}}
    if schema.get("default") is not None:
        found["default"] = schema["default"]
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    return found | (choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {})


def _of_body(schema: Json) -> Json:
    """The schema of a body, in which null is absence, and whose defaults are in words.

    Of a field with a `default` generators make one that their callers must send (openapi-typescript).
    """
    required, fields = schema.get("required", ()), schema.get("properties", {})
    found = {name: field if name in required else _optional(field) for name, field in fields.items()}
    return schema | {"properties": found}


def _optional(schema: Json) -> Json:
    found = dict(schema)
    default = found.pop("default", None)
    if default not in (None, "", []):
        found["description"] = f"{found.get('description', '')} (default: {json.dumps(default)})".strip()
    null: Json = {"type": "null"}
    if null in found.get("anyOf", ()):
        return found
    description = {"description": found.pop("description")} if "description" in found else {}
    return {"anyOf": [found, null], **description}


def _headers(status: int) -> Json:
    names = [REQUEST_ID_HEADER, "Retry-After"] if status in _RETRIES else [REQUEST_ID_HEADER]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _names(path: str) -> list[str]:
    return re.findall(r"{(\w+)}", path)


def _sentence(kind: type[BaseModel] | type[ApiError] | type[DomainError]) -> str:
    return " ".join(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())


def _untitled(schema: Json) -> Json:
    return {name: value for name, value in schema.items() if name != "title"}
