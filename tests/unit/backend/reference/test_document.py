"""The OpenAPI document: valid by the specification, and as whole as the table of endpoints that it is made from."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from aldea.errors import BadRequest, InvalidAuth
from aldea.headers import REQUEST_ID_HEADER
from backend.api.access import InProject, Public
from backend.app import ENDPOINTS
from backend.reference.document import ErrorResponse, document, refusals

DOCUMENT = document(ENDPOINTS)
OPERATIONS = {operation["operationId"]: operation for item in DOCUMENT["paths"].values() for operation in item.values()}


def references(part: Any) -> set[str]:
    if isinstance(part, list):
        return {found for one in part for found in references(one)}
    if isinstance(part, dict):
        own = {part["$ref"]} if "$ref" in part else set()
        return own.union(*(references(one) for one in part.values()))
    return set()


def test_every_endpoint_is_documented_once() -> None:
    assert sorted(OPERATIONS) == sorted(endpoint.operation_id for endpoint in ENDPOINTS)
    for endpoint in ENDPOINTS:
        assert DOCUMENT["paths"][endpoint.path][endpoint.method.lower()] is OPERATIONS[endpoint.operation_id]


def test_nothing_is_left_without_a_word() -> None:
    for name, operation in OPERATIONS.items():
        assert operation["summary"], name
        assert operation["description"], name
        for parameter in operation["parameters"]:
            assert parameter["description"], f"{name}: {parameter['name']}"
        for response in operation["responses"].values():
            assert response["description"], name
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert schema["description"], name


def test_every_schema_is_json_schema_and_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    for operation in OPERATIONS.values():
        for parameter in operation["parameters"]:
            Draft202012Validator.check_schema(parameter["schema"])
    for found in references(DOCUMENT):
        _, components, kind, name = found.split("/")
        assert components == "components"
        assert name in DOCUMENT["components"][kind]


def test_models_have_names_of_their_own() -> None:
    # Two models of one name would get their modules' names, which are internal.
    assert not [name for name in DOCUMENT["components"]["schemas"] if not re.fullmatch(r"[A-Z][A-Za-z]+", name)]


def test_path_parameters_are_those_of_the_path() -> None:
    for path, item in DOCUMENT["paths"].items():
        for operation in item.values():
            named = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"]
            assert named == re.findall(r"{(\w+)}", path)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.operation_id)
def test_every_error_of_an_endpoint_is_documented_with_its_code(endpoint: Any) -> None:
    responses = OPERATIONS[endpoint.operation_id]["responses"]
    errors = {error for error, _ in refusals(endpoint)}
    assert {endpoint.errors[kind] for kind in endpoint.raises} | set(endpoint.refuses) <= errors
    assert set(responses) == {str(endpoint.status)} | {str(error.status) for error in errors}
    for error in errors:
        codes = responses[str(error.status)]["content"]["application/json"]["schema"]["properties"]["err_code"]
        assert error.err_code in codes["enum"]
    assert (InvalidAuth in errors) or isinstance(endpoint.access, Public)


def test_what_needs_a_scope_says_which_and_what_is_for_people_takes_no_key() -> None:
    for endpoint in ENDPOINTS:
        allowed = {name: needs for one in OPERATIONS[endpoint.operation_id]["security"] for name, needs in one.items()}
        assert bool(allowed) != isinstance(endpoint.access, Public)
        if isinstance(endpoint.access, InProject):
            assert set(map(tuple, allowed.values())) == {(endpoint.access.scope,)}
    assert "ApiKey" not in str(OPERATIONS["list_audit"]["security"])
    assert "ApiKey" in str(OPERATIONS["list_keys"]["security"])


def test_every_response_carries_its_request_id_and_errors_are_of_one_shape() -> None:
    for operation in OPERATIONS.values():
        for status, response in operation["responses"].items():
            assert REQUEST_ID_HEADER in response["headers"]
            assert ("Retry-After" in response["headers"]) == (status in {"429", "503"})
    error = BadRequest("no").body("018f0000-0000-7000-8000-000000000001")
    assert ErrorResponse.model_validate(error).model_dump() == error


def test_a_parameter_is_never_null_and_a_repeatable_one_is_a_list() -> None:
    found = {parameter["name"]: parameter["schema"] for parameter in OPERATIONS["get_usage_breakdown"]["parameters"]}
    assert found["grouping"]["type"] == "array"
    assert "null" not in str(found)
    assert found["start"]["anyOf"] == [{"format": "date"}, {"format": "date-time"}]


def test_fields_with_a_default_are_promised_in_responses_and_optional_in_bodies() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert set(schemas["Request"]["required"]) == set(schemas["Request"]["properties"])
    assert schemas["CreateKey"]["required"] == ["comment", "scopes"]


def test_a_body_has_no_default_that_a_generated_client_would_demand() -> None:
    bodies = {endpoint.body.__name__ for endpoint in ENDPOINTS if endpoint.body is not None}
    fields = [
        (name, field, schema, DOCUMENT["components"]["schemas"][name].get("required", []))
        for name in bodies
        for field, schema in DOCUMENT["components"]["schemas"][name]["properties"].items()
    ]
    assert any("default: 3600" in schema.get("description", "") for _, _, schema, _ in fields)
    for name, field, schema, required in fields:
        assert '"default"' not in json.dumps(schema), f"{name}.{field}"
        # A null for it counts as its absence.
        assert field in required or {"type": "null"} in schema["anyOf"], f"{name}.{field}"
