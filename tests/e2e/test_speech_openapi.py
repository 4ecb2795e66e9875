"""The speech API held against its own served OpenAPI document by schemathesis, whatever is sent."""

import asyncio
import os
from collections import Counter
from typing import Any, cast

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as promises

from backend.reference.speech.openapi import document
from tests.e2e.box import Box
from tests.e2e.test_recorded import wav

# Requests for each operation and kind of data. More find more: RUNS=100 takes minutes.
RUNS = int(os.environ.get("RUNS", "4"))
CHECKS = [
    not_a_server_error,
    promises.status_code_conformance,
    promises.content_type_conformance,
    promises.response_headers_conformance,
    promises.response_schema_conformance,
]


@pytest.mark.timeout(600)
async def test_whatever_is_sent_the_response_is_one_that_the_document_allows(platform: Box) -> None:
    schema = schemathesis.openapi.from_url(f"{platform.http}/docs/openapi.json")
    operations = [cast("Any", found).ok() for found in schema.get_all_operations()]
    assert len(operations) == len(document()["paths"])
    statuses: Counter[int] = Counter()
    failures: list[str] = []
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                statuses += await asyncio.to_thread(examine, operation, mode, platform)
            except Exception as failure:  # noqa: BLE001 - all of them are wanted at once
                failures.append(f"{operation.label} ({mode}): {failure}")
    assert not failures, "\n\n".join(failures)
    # A test in which everything is refused proves nothing.
    assert statuses[200] >= len(operations)
    assert {400, 401} <= set(statuses)


def examine(operation: Any, mode: GenerationMode, platform: Box) -> Counter[int]:
    """Send requests to one operation and let schemathesis check the responses; how often each status came."""
    statuses: Counter[int] = Counter()
    firsts = iter([True])

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=RUNS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    def examples(case: Any) -> None:
        for key in (platform.key, "org_wrong") if next(firsts, False) else (platform.key,):
            response = case.call(
                base_url=platform.http, session=connections, headers={"Authorization": f"Token {key}"}, timeout=60
            )
            statuses[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

    with requests.Session() as connections:
        examples()
        statuses[spoken(operation, connections, platform).status_code] += 1
    return statuses


def spoken(operation: Any, connections: requests.Session, platform: Box) -> requests.Response:
    """Real speech, to the same operation; its response is checked as well."""
    url = platform.http + operation.path.replace("{rest}", "file")
    form = operation.path.startswith("/v1/audio/")
    sent: dict[str, Any] = {"files": {"file": ("a.wav", wav())}} if form else {"data": wav()}
    headers = {"Authorization": f"Token {platform.key}", **({} if form else {"Content-Type": "audio/wav"})}
    response = connections.post(url, headers=headers, timeout=60, **sent)
    operation.validate_response(response)
    return response
