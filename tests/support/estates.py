"""Tenants with one of everything, and a fitting request for every route of the table."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from aldea import credentials, speech_model
from aldea.usage.envelope import Stamped
from aldea.usage.reading import Rank
from backend.accounts import repository as accounts
from backend.api.access import Operator
from backend.api.endpoint import Endpoint
from backend.app import ENDPOINTS
from backend.credits import repository as credits_of
from backend.reference.document import document
from backend.reference.page import example
from sqs_updater.merge import reduce_batch
from sqs_updater.writer import Writer
from tests.integration.conftest import Api, Tenant, make_tenant
from tests.readings import reading

DOCUMENT: Final = document(ENDPOINTS)
# What customers do in a project, whose id the path names.
IN_PROJECT: Final = [
    endpoint for endpoint in ENDPOINTS if "{project_id}" in endpoint.path and not isinstance(endpoint.access, Operator)
]
# What a body's example would not be accepted as.
_FITTING: Final = {"email": "someone@example.com", "url": "http://127.0.0.1:9/"}
# Of the platform, and the same for everybody.
SHARED: Final = frozenset({"model", "model_id", "month", "incident_id"})


@dataclass(frozen=True)
class Estate:
    """A tenant, a session of theirs, and one of everything that a path or a query can name."""

    tenant: Tenant
    session: str
    ids: dict[str, str]

    @property
    def credentials(self) -> tuple[str, str]:
        return self.tenant.key, self.session

    @property
    def marks(self) -> set[str]:
        """Texts that no other tenant may ever be shown."""
        ids = {value for name, value in self.ids.items() if name not in SHARED}
        return {*ids, self.tenant.email, f"{self.tenant.email.partition('@')[0]}'s project"}


async def settle(api: Api, name: str) -> Estate:
    tenant = await make_tenant(api, name)
    minted = credentials.mint_session()
    async with api.database.connection() as connection:
        await accounts.insert_session(connection, minted.sha256, tenant.user_id, 1)
        credit = await credits_of.insert(connection, tenant.project_id, 1_000_000, f"{name}'s credit")
    assert credit is not None
    session = minted.text
    invited = f"{name}-invited@example.com"
    path = f"/v1/projects/{tenant.project_id}/invites"
    await api.call("POST", path, session, {"email": invited, "scope": "member"})
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    common: Any = {"project_id": tenant.project_id, "key_id": tenant.key_id, "started_ms": now_ms, "tags": (name,)}
    ended, runs = reading(**common, rank=Rank.FINAL, audio_ms=1500, status=200), reading(**common)
    await Writer(api.database).merge(reduce_batch([Stamped(ended, 0), Stamped(runs, 0)]))
    hooks = f"/v1/projects/{tenant.project_id}/webhooks"
    hook = (await api.call("POST", hooks, session, {"url": "http://127.0.0.1:9/hook"}, status=201))["webhook_id"]
    delivery = (await api.call("POST", f"{hooks}/{hook}/test", session, status=202))["delivery_id"]
    ids = {
        "webhook_id": hook, "delivery_id": delivery,
        "project_id": tenant.project_id, "key_id": tenant.key_id, "member_id": tenant.user_id,
        "balance_id": tenant.project_id, "request_id": ended.request_id, "email": invited,
        "credit_id": credit.credit_id, "model_id": speech_model.UUID, "model": speech_model.NAME, "month": "2026-10",
        "incident_id": "0190a5e2-0000-7000-8000-00000000000b",
    }  # fmt: skip
    return Estate(tenant, session, ids)


def named(endpoint: Endpoint) -> list[str]:
    """What an endpoint's path names, the project first."""
    return re.findall(r"{(\w+)}", endpoint.path)


def body_of(endpoint: Endpoint) -> Any:
    """A body that the endpoint accepts, so that a refusal is because of its owner and not of its content."""
    if endpoint.body is None:
        return None
    schema = {"$ref": f"#/components/schemas/{endpoint.body.__name__}"}
    fields = endpoint.body.model_fields
    whole = example(DOCUMENT, schema)
    made = {name: value for name, value in whole.items() if fields[name].is_required()} or whole
    made |= {name: _FITTING[name] for name in made if name in _FITTING}
    endpoint.body.model_validate_json(json.dumps(made))
    return made


def query_of(endpoint: Endpoint) -> str:
    """The query parameters that the endpoint cannot do without."""
    model = endpoint.query
    required = [name for name, field in model.model_fields.items() if field.is_required()] if model else []
    return "?" + urlencode(dict.fromkeys(required, datetime.now(UTC).date().isoformat())) if required else ""
