"""What a 400 says: the field, what was got, what is allowed; in our words, with no secret and no pattern in it."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from backend.accounts.models import ChangeAccount, ChangePassword, CreateAccount, UseReset
from backend.alerts.models import CreateWebhook
from backend.api import faults
from backend.api.endpoint import Body, Changes, Query
from backend.api.faults import MAX_FAULTS, explain
from backend.app import ENDPOINTS
from backend.credits.models import ChangePlan, GrantCredit
from backend.keys.models import CreateKey, RotateKey
from backend.limits.models import ChangeLimits
from backend.operators.models import ChangePlanLimits
from backend.prices.models import AddPrice
from backend.projects.models import ChangeProject
from backend.usage.models import RequestsQuery

MODELS = sorted({model for one in ENDPOINTS for model in (one.body, one.query) if model}, key=lambda one: one.__name__)
# What the models' own messages begin with or hold, and what only a programmer reads.
THEIRS = re.compile(
    r"Value error|Input should|should be|should match|should have|Field required|validation|permitted|pydantic"
    r"|\\x|\^\[|\]\*|\]\+|\(\?|function-|none_required|<class|Traceback|_[a-z]+ing\b"
)


def fault_of(model: type[BaseModel], given: Any, *, text: bool = False) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(given) if text else model.model_validate(given)
    return explain(model, caught.value)


@pytest.mark.parametrize(
    ("model", "given", "words"),
    [
        (RequestsQuery, {"limit": "x"}, "limit: got 'x'; allowed: a whole number."),
        (RequestsQuery, {"limit": "0"}, "limit: got '0'; allowed: 1 or more."),
        (RequestsQuery, {"limit": "5000"}, "limit: got '5000'; allowed: 1000 or less."),
        (RequestsQuery, {"min_audio_seconds": "-1"}, "min_audio_seconds: got '-1'; allowed: 0 or more."),
        (RequestsQuery, {"min_audio_seconds": "1e9"}, "min_audio_seconds: got '1e9'; allowed: 31622400 or less."),
        (RequestsQuery, {"limit": "9" * 5000}, "allowed: a whole number"),
        (RequestsQuery, {"start": "yesterday"}, "start: got 'yesterday'; allowed: YYYY-MM-DD, or YYYY-MM-DDThh:mm:ss"),
        (RequestsQuery, {"start": "1999-01-01"}, "start: got '1999-01-01'; allowed: the years 2000 to 2199."),
        (RequestsQuery, {"key": "mine"}, "key: got 'mine'; allowed: a UUID."),
        (RequestsQuery, {"status": "ok"}, "status: got 'ok'; allowed: 'succeeded', 'failed', 'incomplete' or 'open'."),
        (RequestsQuery, {"tag": ""}, "tag: got an empty text; allowed: at least 1 character."),
        (RequestsQuery, {"tag": "x" * 513}, "tag: got 513 characters; allowed: at most 512 characters."),
        (RequestsQuery, {"from": "2026-01-01"}, "'from': got '2026-01-01'; allowed: start, end, running,"),
        (
            RequestsQuery, {"service": "streaming", "method": "sync"},
            "parameters: got values that contradict each other; allowed: one of service and method, which mean the",
        ),
        (CreateKey, {"comment": "x"}, "scopes: got nothing; allowed: a value; it is required."),
        (CreateKey, {"comment": 7, "scopes": []}, "comment: got 7; allowed: a text. scopes: got a list of 0;"),
        (CreateKey, {"comment": "", "scopes": ["root"]}, "scopes[0]: got 'root'; allowed: 'keys:read', "),
        (CreateKey, {"comment": "", "scopes": ["owner"], "tags": ["\t"]}, r"tags[0]: got '\t'; allowed: a text with"),
        (CreateKey, {"comment": "a\0", "scopes": ["owner"]}, "allowed: one line of text, not of blanks alone,"),
        (
            CreateKey, {"comment": "", "scopes": ["owner"], "expiration_date": "1893456000"},
            "expiration_date: got '1893456000'; allowed: a time with a zone, as 2026-03-31T12:00:00Z.",
        ),
        (CreateKey, [], "body: got a list of 0; allowed: a JSON object."),
        (GrantCredit, {"amount_micros": 0, "note": " "}, "amount_micros: got 0; allowed: any other amount than 0."),
        (GrantCredit, {"amount_micros": 1.5, "note": "x"}, "amount_micros: got 1.5; allowed: a whole number."),
        (GrantCredit, {"amount_micros": 10**30, "note": "x"}, "amount_micros: got a huge number; allowed: "),
        (
            CreateAccount, {"email": "ann", "password": "short", "name": "Ann"},
            "without invisible characters. password: got 5 characters; allowed: at least 12 characters.",
        ),
    ],
)  # fmt: skip
def test_the_field_what_was_got_and_what_is_allowed(model: type[BaseModel], given: Any, words: str) -> None:
    found = fault_of(model, given)
    assert words in found
    assert not THEIRS.search(re.sub(r"got '[^']*'", "", found))


@pytest.mark.parametrize("text", ["", "{", "\ud800", '{"email": "a@b.example", }', "[", "nul"])
def test_a_body_that_is_no_json_says_so_and_nothing_of_it(text: str) -> None:
    found = fault_of(CreateAccount, text.encode("utf-8", "surrogatepass"), text=True)
    assert found == (
        "Unusable parameters: body: got no JSON; allowed: a JSON object in UTF-8. Correct this and send it again."
    )


@pytest.mark.parametrize(
    ("model", "name"),
    [(CreateAccount, "password"), (ChangePassword, "current_password"), (ChangePassword, "new_password"),
     (UseReset, "token"), (UseReset, "new_password")],
)  # fmt: skip
@pytest.mark.parametrize("value", ["hunter2-" * 100, 748_392_615, ["hunter2-secret"], {"a": "hunter2-secret"}, True])
def test_a_secret_is_never_repeated_whatever_is_wrong_with_it(model: type[BaseModel], name: str, value: Any) -> None:
    found = fault_of(model, {name: value})
    assert f"{name}: got " in found
    assert "hunter2" not in found
    assert "748392615" not in found


def test_a_credential_in_the_wrong_field_is_not_repeated_and_a_long_text_is_shortened() -> None:
    assert "org_0123456789" not in fault_of(RequestsQuery, {"key": "org_0123456789abcdefghij"})
    assert len(fault_of(RequestsQuery, {"status": "x" * 100_000})) < 300
    assert len(fault_of(RequestsQuery, {"y" * 100_000: "1"})) < 600
    many = fault_of(CreateKey, {"comment": "", "scopes": ["owner"], "tags": [1] * 16})
    assert many.count("tags[") == MAX_FAULTS
    assert "11 more faults." in many


CHANGES = sorted({one.body for one in ENDPOINTS if one.method == "PATCH" and one.body}, key=lambda one: one.__name__)


@pytest.mark.parametrize("model", CHANGES, ids=lambda one: one.__name__)
@pytest.mark.parametrize("given", [{}, {"nmae": 7}, {"monthly_audio": None}], ids=str)
def test_a_change_of_nothing_is_refused_with_the_fields_that_there_are(model: type[Body], given: Any) -> None:
    found = fault_of(model, given)
    for name in model.model_fields:
        assert name in found
    assert "contradict" not in found


@pytest.mark.parametrize("model", [one for one in CHANGES if one is not ChangeProject], ids=lambda one: one.__name__)
def test_a_null_changes_something_only_where_it_lifts_a_limit(model: type[Body]) -> None:
    for name, field in model.model_fields.items():
        if issubclass(model, Changes) and model.null_is_a_change:
            assert model.model_validate({name: None}).model_fields_set == {name}
        elif field.default is None:
            assert "got no change; allowed: at least one of " in fault_of(model, {name: None})


@pytest.mark.parametrize(
    ("model", "given", "name"),
    [
        (GrantCredit, {"amount_micros": 5, "note": "x", "expire": "2030-01-01"}, "expire"),
        (ChangePlan, {"plan": "postpaid", "credit_limit": 5}, "credit_limit"),
        (AddPrice, {"plan": "free", "service": "streaming", "micros_per_hour": 1, "effective_from": "2030-01-01",
                    "models": "nova-3"}, "models"),
        (ChangePlanLimits, {"requests_per_minute": 5, "monthly_budget_micros": 5}, "monthly_budget_micros"),
        (ChangeLimits, {"requests_per_minute": 5, "montly_budget_micros": 5}, "montly_budget_micros"),
        (CreateWebhook, {"url": "https://example.com/", "type": ["webhook.test"]}, "type"),
        (RotateKey, {"overlap": 0}, "overlap"),
    ],
)  # fmt: skip
def test_a_misspelt_limit_end_or_amount_is_refused_not_left_out(model: type[Body], given: Any, name: str) -> None:
    found = fault_of(model, given)
    assert f"'{name}': got " in found
    assert "this is none of them" in found


def test_what_is_missing_beside_a_field_is_said_as_that() -> None:
    assert "got an email alone; allowed: an email together with" in fault_of(ChangeAccount, {"email": "a@b.example"})
    assert "got a current_password alone; allowed: a name" in fault_of(ChangeAccount, {"current_password": "x" * 20})


class Every(Body):
    """A field for each kind of constraint that a model here may have one day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    above: int | None = Field(None, gt=3)
    below: float | None = Field(None, lt=3, multiple_of=0.5, allow_inf_nan=False)
    flag: bool = False
    when: AwareDatetime | None = None
    which: UUID | None = None
    word: Literal["a", "b"] = "a"
    many: list[Annotated[int, Field(ge=1)]] = Field([], min_length=1, max_length=2)
    either: int | list[str] = 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["2026-01-01", "2026-02-30T00:00:00", "2026-01-01T00:00:00", "-1", "1e999", "x@", "a" * 600]),
    lambda inner: st.lists(inner, max_size=18) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def bodies(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=dict.fromkeys([*model.model_fields, "unknown"], JSON)) | JSON


@pytest.mark.parametrize("model", [*MODELS, Every], ids=lambda one: one.__name__)
def test_no_model_speaks_in_any_words_but_ours(model: type[BaseModel]) -> None:
    @settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(bodies(model))
    def try_it(value: Any) -> None:
        try:
            model.model_validate(value) if issubclass(model, Query) else model.model_validate_json(json.dumps(value))
        except ValidationError as error:
            kinds = {fault["type"] for fault in error.errors()} - {"value_error", "string_pattern_mismatch"}
            assert kinds <= {*faults._ALLOWED, "extra_forbidden"}, "give these kinds words of ours"
            found = explain(model, error)
            for fault in error.errors():
                assert fault["msg"] not in found
            assert "Value error" not in found
            assert "function-" not in found

    try_it()


def patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for value in schema.values():
            yield from patterns(value)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from patterns(value)


def test_every_pattern_of_every_model_has_words() -> None:
    found = {pattern for model in MODELS for pattern in patterns(model.__pydantic_core_schema__)}
    assert len(found) > 3
    assert found <= set(faults._SPELLED), "give it words: pattern=spelled('what is allowed', r'…')"


def test_a_query_model_is_one_of_those_looked_at() -> None:
    assert any(issubclass(model, Query) for model in MODELS)
