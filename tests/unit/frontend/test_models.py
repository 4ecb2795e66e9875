"""What the console reads is what the Platform API sends: each field is in the API's response, of a type that fits."""

import inspect
import types
from datetime import date, datetime
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import BaseModel

from backend.accounts import models as accounts
from backend.alerts import models as alerts
from backend.audit import models as audit
from backend.billing import models as billing
from backend.credits import models as credited
from backend.keys import models as keys
from backend.limits import models as limits
from backend.live import models as live
from backend.members import models as members
from backend.operators import models as operators
from backend.prices import models as prices
from backend.projects import models as projects
from backend.statements import models as statements
from backend.tokens import models as tokens
from backend.usage import models as usage
from frontend import models
from frontend.api import ApiDown, as_model

# Each response that the console reads, and the API's models that it is read from. What is inside follows.
RESPONSES: dict[type[BaseModel], tuple[type[BaseModel], ...]] = {
    models.Me: (accounts.Me,),
    models.KnownDevice: (accounts.PasswordChanged,),
    models.SignedIn: (accounts.SignedIn,),
    models.ProjectId: (projects.Project, members.Joined),
    models.GrantedToken: (tokens.GrantedToken,),
    models.KeyList: (keys.KeyList,),
    models.KeyDetail: (keys.KeyDetail,),
    models.CreatedKey: (keys.CreatedKey, keys.RotatedKey),
    models.MemberList: (members.MemberList,),
    models.InviteList: (members.InviteList,),
    models.IssuedToken: (members.CreatedInvite, accounts.IssuedReset),
    models.Limits: (limits.Limits,),
    models.Live: (live.Live,),
    models.LiveLanes: (live.LiveLanes,),
    models.RequestList: (usage.RequestList,),
    models.RequestItem: (usage.RequestItem,),
    models.Usage: (usage.Usage,),
    models.Breakdown: (usage.Breakdown,),
    models.BalanceList: (usage.BalanceList,),
    models.Spend: (usage.Spend,),
    models.OperatedProject: (operators.OperatedProject,),
    models.OperatedProjects: (operators.OperatedProjects,),
    models.AccountPlan: (credited.AccountPlan,),
    models.Credits: (credited.Credits,),
    models.AuditPage: (audit.AuditPage,),
    models.Statement: (statements.Statement,),
    models.BillingBreakdown: (billing.BillingBreakdown,),
    models.Prices: (prices.Prices,),
    models.WebhookList: (alerts.WebhookList,),
    models.AlertSettings: (alerts.AlertSettings,),
    models.Webhook: (alerts.Webhook,),
    models.WebhookSecret: (alerts.CreatedWebhook, alerts.RotatedSecret),
    models.DeliveryPage: (alerts.DeliveryPage,),
    models.EventPage: (alerts.EventPage,),
}
# How the API's types arrive in JSON.
AS_JSON: dict[Any, Any] = {datetime: str, date: str}
# The only fields that one of the API's responses has and another of the same kind has not.
ONLY_SOMETIMES = {("CreatedKey", "old_key_expires")}


def misfits(reads: Any, sends: Any, where: str) -> list[str]:
    """Where a type that the console reads cannot hold what the API sends."""
    if reads is Any:
        return []
    reads_some, sends_some = _alternatives(reads), _alternatives(sends)
    if type(None) in sends_some and type(None) not in reads_some:
        return [f"{where}: may be null"]
    reads_some.discard(type(None))
    sends_some.discard(type(None))
    if len(reads_some) != 1 or len(sends_some) != 1:
        return [] if reads_some == sends_some else [f"{where}: {sends} is read as {reads}"]
    (one,), (other,) = reads_some, sends_some
    if inspect.isclass(one) and inspect.isclass(other) and issubclass(one, BaseModel) and issubclass(other, BaseModel):
        return _misfits_of_models(one, other, where)
    if get_origin(one) is list and get_origin(other) is list:
        return misfits(get_args(one)[0], get_args(other)[0], f"{where}[]")
    if get_origin(other) is Literal:
        fits = set(get_args(other)) <= set(get_args(one)) if get_origin(one) is Literal else one is str
    else:
        fits = one == AS_JSON.get(other, other) or (one, other) == (float, int)
    return [] if fits else [f"{where}: {other} is read as {one}"]


def _misfits_of_models(reads: type[BaseModel], sends: type[BaseModel], where: str) -> list[str]:
    found = []
    for name, field in reads.model_fields.items():
        if name in sends.model_fields:
            found += misfits(field.annotation, sends.model_fields[name].annotation, f"{where}.{name}")
        elif (reads.__name__, name) not in ONLY_SOMETIMES:
            found.append(f"{where}.{name}: {sends.__name__} has no such field")
    return found


def _alternatives(kind: Any) -> set[Any]:
    return set(get_args(kind)) if get_origin(kind) in {Union, types.UnionType} else {kind}


@pytest.mark.parametrize(
    ("reads", "sends"),
    [(one, other) for one, others in RESPONSES.items() for other in others],
    ids=lambda m: m.__name__,
)
def test_the_console_reads_what_the_api_sends(reads: type[BaseModel], sends: type[BaseModel]) -> None:
    assert misfits(reads, sends, reads.__name__) == []


def test_every_model_of_the_console_is_a_response_or_in_one() -> None:
    def inside(model: type[BaseModel]) -> set[type[BaseModel]]:
        found = {model, *model.__mro__}
        for field in model.model_fields.values():
            for kind in _alternatives(field.annotation):
                for one in (kind, *get_args(kind)):
                    if inspect.isclass(one) and issubclass(one, BaseModel):
                        found |= inside(one)
        return found

    known = set().union(*(inside(model) for model in RESPONSES))
    defined = {one for _, one in inspect.getmembers(models, inspect.isclass) if issubclass(one, models.Model)}
    assert defined <= known


def test_a_misfit_is_found() -> None:
    class Sends(BaseModel):
        a: int
        b: str | None
        c: list[Literal["x", "y"]]

    class Reads(BaseModel):
        a: str
        b: str
        c: list[Literal["x"]]
        d: int

    assert [found.partition(":")[0] for found in misfits(Reads, Sends, "it")] == ["it.a", "it.b", "it.c[]", "it.d"]


def test_a_response_of_another_shape_is_a_failure_of_the_api_that_names_the_fields_and_no_values() -> None:
    with pytest.raises(ApiDown, match=r"a response that is no GrantedToken: access_token, expires_in") as down:
        as_model(models.GrantedToken, {"access_token": 7, "expires_in": "secret"})
    assert "secret" not in str(down.value)
    with pytest.raises(ApiDown, match="all of it"):
        as_model(models.GrantedToken, ["no object"])
