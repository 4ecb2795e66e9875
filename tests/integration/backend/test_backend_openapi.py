"""The served OpenAPI document, held against the running API by schemathesis: whatever a client sends, it is right."""

import asyncio
import os
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

import hypothesis
import hypothesis.strategies as st
import pytest
import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as promises

from aldea import credentials, speech_model
from aldea.postgres import Database
from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank
from backend.accounts import repository as accounts
from backend.alerts import repository as alerts
from backend.alerts.webhook import new_secret
from backend.api.access import SCOPES
from backend.api.endpoint import SYSTEM
from backend.app import ENDPOINTS
from backend.changes import Changes
from backend.keys.service import create_key
from backend.members import repository as members
from backend.projects.service import create_project
from backend.status import repository as status
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.conftest import settings_for
from tests.readings import reading

# Requests for each operation and kind of data, sent by every caller. More find more: RUNS=100 takes minutes.
RUNS = int(os.environ.get("RUNS", "4"))
# Who calls, and by how many operations at least they were served: a test in which everything is refused proves nothing.
SERVED = {"nobody": 1, "key": 12, "session": 20, "operator": 20}
# All that a path can name in the caller's project, and their credential.
Caller: TypeAlias = tuple[dict[str, str], str | None]
CHECKS = [
    not_a_server_error,
    promises.status_code_conformance,
    promises.content_type_conformance,
    promises.response_headers_conformance,
    promises.response_schema_conformance,
]


async def prepare(database: Database, caller: str) -> Caller:
    """A project of its own for one operation, all that a path can name in it, and the caller's credential."""
    name = uuid.uuid4().hex
    settings = settings_for("postgresql://u@h/d")
    async with Changes(database).transaction(SYSTEM) as change:
        connection = change.connection
        email = f"{name}@example.com"
        user_id = await accounts.insert_user(
            connection, email=email, name="Ann Doe", password_hash="x", operator=caller == "operator"
        )
        assert user_id is not None
        change.unmirrored("accounts", "account.create", user_id)
        project_id = await create_project(change, settings, user_id, "project")
        key = await create_key(change, project_id, user_id, comment="", scopes=sorted(SCOPES))
        # Not the caller's own: by revoking it the caller would lock itself out.
        named = await create_key(change, project_id, user_id, comment="", scopes=["usage:read"])
        await members.put_invite(
            connection, project_id, email="invited@example.com", role="member",
            sha256=credentials.sha256_hex(name), days=1,
        )  # fmt: skip
        session = credentials.mint_session()
        await accounts.insert_session(connection, session.sha256, user_id, 1)
        webhook = await alerts.insert(connection, project_id, "https://192.0.2.1/", "", None, new_secret())
        delivery_id = await alerts.add_test_event(connection, project_id, webhook.endpoint_id)
        incident_id = await status.open_incident(connection, "title", "minor", ["stream"])
        change.exempt("invites", "sessions", "alert_endpoints", "alert_deliveries", "alert_events", "incidents")
    used = reading(
        project_id=project_id, key_id=key.key_id, rank=Rank.FINAL, audio_ms=1500, status=101, tags=("prod",),
        started_ms=int(datetime.now(UTC).timestamp() * 1000),
    )  # fmt: skip
    await Writer(database).merge(reduce_batch([Stamped(used, 0)]))
    known = {
        "webhook_id": webhook.endpoint_id, "delivery_id": delivery_id,
        "project_id": project_id, "key_id": named.key_id, "member_id": user_id, "balance_id": project_id,
        "model_id": speech_model.UUID, "model": speech_model.NAME, "month": "2026-10", "incident_id": incident_id,
        "request_id": used.request_id, "email": "invited@example.com", "credit_id": str(uuid.uuid4()),
    }  # fmt: skip
    return known, {"nobody": None, "key": key.text}.get(caller, session.text)


# Without parameters, body and credential: no request can be wrong.
BARE = {"GET /v1/status"}


# Some sixty operations, each with two kinds of data from three callers, in one test: half a minute on a quiet machine.
@pytest.mark.timeout(600)
async def test_whatever_is_sent_the_response_is_one_that_the_document_allows(
    backend_url: str, database: Database
) -> None:
    schema = schemathesis.openapi.from_url(f"{backend_url}/v1/openapi.json")
    operations = [cast("Any", found).ok() for found in schema.get_all_operations()]
    assert len(operations) == len(ENDPOINTS)
    served: Counter[str] = Counter()
    failures: list[str] = []
    for operation in operations:
        callers = {caller: await prepare(database, caller) for caller in SERVED}
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode is GenerationMode.NEGATIVE and operation.label in BARE:
                continue
            try:
                served.update(await asyncio.to_thread(examine, operation, mode, callers, backend_url))
            except Exception as failure:  # noqa: BLE001 - all of them are wanted at once
                failures.append(f"{operation.label}: {failure}")
    assert not failures, "\n\n".join(failures)
    assert {caller: count for caller, count in SERVED.items() if served[caller] < count} == {}


def examine(operation: Any, mode: GenerationMode, callers: dict[str, Caller], url: str) -> set[str]:
    """Send requests to one operation, fitting ones or not, and let schemathesis check the responses; who was served."""
    served: set[str] = set()
    # The first of them always names what exists, however the others are drawn.
    firsts = iter([True])

    @hypothesis.given(case=operation.as_strategy(generation_mode=mode), within=st.booleans())
    @hypothesis.settings(
        max_examples=RUNS,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    def examples(case: Any, within: bool) -> None:
        within = next(firsts, within)
        drawn = dict(case.path_parameters or {})
        checks = CHECKS + [promises.negative_data_rejection] * (mode is GenerationMode.NEGATIVE and not within)
        for caller, (known, credential) in callers.items():
            if within and drawn:
                case.path_parameters = {name: known[name] for name in drawn}
            headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
            response = case.call(base_url=url, session=connections, headers=headers, timeout=60)
            if response.status_code < 300 and mode is GenerationMode.POSITIVE:
                served.add(caller)
            case.validate_response(response, checks=checks)

    with requests.Session() as connections:
        examples()
    return served
