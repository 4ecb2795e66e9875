"""What a form says that was refused: the reader's words, whatever field of whatever form it is."""

import pytest
from pydantic import ValidationError

from backend.accounts.models import (
    ChangeAccount,
    ChangePassword,
    CreateAccount,
    DeleteAccount,
    IssueReset,
    SignIn,
    UseReset,
)
from backend.alerts.models import ChangeAlertSettings, CreateWebhook
from backend.api.endpoint import Body
from backend.api.faults import explain
from backend.credits.models import ChangePlan, GrantCredit
from backend.keys.models import CreateKey, RotateKey
from backend.limits.models import ChangeLimits
from backend.members.models import AcceptInvite, ChangeScope, CreateInvite
from backend.moves.models import MoveProject
from backend.operators.models import ChangePlanLimits, Suspend
from backend.prices.models import AddPrice
from backend.projects.models import ChangeProject, CreateProject
from frontend.form_faults import LABELS, form_words

# What the console sends of forms. The rest of a model is not the reader's: cookies hold it, or no form has it.
SENT = (
    CreateAccount, SignIn, UseReset, ChangePassword, IssueReset, CreateKey, RotateKey, CreateInvite, ChangeScope,
    AcceptInvite, ChangePlanLimits, Suspend, GrantCredit, CreateProject,
    ChangeProject, AddPrice, ChangePlan, MoveProject, ChangeLimits, CreateWebhook, ChangeAlertSettings,
    ChangeAccount, DeleteAccount,
)  # fmt: skip
NOT_IN_FORMS = {"replaces", "device_token", "expiration_date", "types"}


@pytest.mark.parametrize(
    ("model", "name"),
    [(model, name) for model in SENT for name in model.model_fields if name not in NOT_IN_FORMS],
)
def test_every_field_of_a_form_is_called_as_the_form_calls_it(model: type[Body], name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate({name: object()})
    found = form_words(explain(model, caught.value))
    assert f"{LABELS[name]}: got " in found
    assert f"{name}: got" not in found
    assert "parameters" not in found
    assert "send it again" not in found


def test_entries_of_lists_count_from_one_and_what_was_got_stays() -> None:
    message = "Unusable parameters: tags[1]: got 'a\\tb'; allowed: a text. scopes[0]: got 'name: got x'; allowed: 1. "
    assert form_words(f"{message}2 more faults. Correct this and send it again.") == (
        "Tags, number 2: got 'a\\tb'; allowed: a text. Permissions, number 1: got 'name: got x'; allowed: 1. "
        "2 more faults."
    )


@pytest.mark.parametrize(
    ("model", "sent", "shown"),
    [
        (
            ChangePlan,
            {"plan": "free", "credit_limit_micros": 5},
            (
                "These fields do not go together. Allowed: “Credit limit” with the plan postpaid only; free ends at a "
                "balance of zero."
            ),
        ),
        (
            ChangeAccount,
            {"email": "a@example.com"},
            "A field is missing: got an email alone. Allowed: an email together with the “Current password”.",
        ),
    ],
)
def test_fields_that_do_not_go_together_are_called_as_the_form_calls_them(
    model: type[Body], sent: dict[str, object], shown: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(sent)
    assert form_words(explain(model, caught.value)) == shown


def test_a_refusal_of_one_field_is_called_as_the_form_calls_it() -> None:
    assert form_words("url: The URL has no host.") == "URL: The URL has no host."
    assert form_words("effective_from: got url: x") == "From: got url: x"


@pytest.mark.parametrize("message", ["", "The project has no such member.", "elsewhere: got x; allowed: y."])
def test_any_other_text_stays_as_it_is(message: str) -> None:
    assert form_words(message) == message
