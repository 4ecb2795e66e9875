"""The OpenAPI document of recorded audio: valid by the specification, whole, and the same as the guide says."""

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from schemathesis.specs.openapi.definitions import OPENAPI_31

from backend.reference.page import page
from backend.reference.speech.guide import FOLDER
from backend.reference.speech.openapi import REFUSALS, document
from http_proxy.app import FIXED_PATHS
from http_proxy.openai.transcription import PATH
from tests.unit.backend.reference.test_document import references
from tests.unit.backend.reference.test_page import Reader

DOCUMENT = document()
OPERATIONS = [operation for item in DOCUMENT["paths"].values() for operation in item.values()]


def test_it_is_valid_by_the_specifications_own_schema() -> None:
    Draft202012Validator(OPENAPI_31).validate(DOCUMENT)


def test_every_schema_is_json_schema_and_every_reference_leads_somewhere() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
        assert schema["description"]
    for found in references(DOCUMENT):
        _, components, kind, name = found.split("/")
        assert name in DOCUMENT[components][kind]
    used = {found.rpartition("/")[2] for found in references(DOCUMENT) if "/schemas/" in found}
    assert used == set(DOCUMENT["components"]["schemas"])


def test_the_addresses_are_those_that_the_proxy_serves() -> None:
    assert set(DOCUMENT["paths"]) == {*FIXED_PATHS, "/transcribe/{rest}", PATH}


def test_every_operation_has_every_error_and_every_response_its_request_id() -> None:
    assert len({operation["operationId"] for operation in OPERATIONS}) == len(OPERATIONS)
    for operation in OPERATIONS:
        below = {"404"} if operation["operationId"] == "transcribe_below" else set()
        assert set(operation["responses"]) == {"200", *(str(kind.status) for kind in REFUSALS)} | below
        for status, response in operation["responses"].items():
            assert "dg-request-id" in response["headers"]
            assert ("Retry-After" in response["headers"]) == (status in {"429", "503"})
            assert response["description"]
        for parameter in operation["parameters"]:
            assert parameter["description"].endswith((".", "meaning"))


@pytest.mark.parametrize("kind", REFUSALS)
def test_the_guide_explains_every_error(kind: Any) -> None:
    sections = re.split(r"^## ", (FOLDER / "speech-api-errors.md").read_text(), flags=re.MULTILINE)
    [section] = [found for found in sections if found.startswith(f"{kind.err_code}\n")]
    assert f"\n{kind.status}" in section


def test_its_page_shows_every_operation() -> None:
    read = Reader(page(DOCUMENT, assets=""))
    assert read.open == []
    ids = {found.get("id") for tag, found in read.elements if tag == "details"}
    assert {operation["operationId"] for operation in OPERATIONS} <= ids
    assert [found["src"] for tag, found in read.elements if tag == "script"] == ["reference.js"]
