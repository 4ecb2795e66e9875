from typing import Any

import pytest

from frontend.changes import shown
from frontend.models import AuditEntry


def entry(action: str, target: str = "0199aaaa-0000-7000-8000-00000000000f", **detail: Any) -> dict[str, Any]:
    actor = {"kind": "user", "id": "1", "name": "ada@example.com"}
    return {"at": "2026-11-23T15:00:00Z", "actor": actor, "action": action, "target": target, "detail": detail}


@pytest.mark.parametrize(
    ("change", "words", "target", "detail"),
    [
        (entry("project.rename", before="Old", name="New"), "Renamed the project", "", "Old → New"),
        (entry("key.create", comment="server", scopes=["usage:read"]), "Created the key", "server", "Read usage"),
        (entry("key.rotate"), "Rotated the key", "…0000000f", ""),
        (entry("key.keep", comment="server"), "Kept the key of a former member", "server", ""),
        (entry("invite.create", "bob@example.com", role="admin"), "Invited", "bob@example.com", "as admin"),
        (entry("invite.accept", role="admin"), "Accepted an invite", "", "as admin"),
        (entry("member.leave", role="admin"), "Left the project", "", ""),
        (entry("project.credit", amount_micros=-500_000, note="A typo"), "Credited the project", "", "-$0.50: A typo"),
        (entry("project.suspend", reason="unpaid"), "Suspended the project", "", "unpaid"),
        (
            entry(
                "project.limits",
                before={"requests_per_minute": 600, "monthly_audio_seconds": None},
                limits={"requests_per_minute": None, "monthly_audio_seconds": 7200},
            ),
            "Changed the limits", "", "requests per minute: 600 → no limit; audio per month: no limit → 2.00 h",
        ),
        # An action that is newer than this console is shown as it is.
        (entry("project.paint"), "project.paint", "…0000000f", ""),
    ],
)  # fmt: skip
def test_a_change_reads_as_a_sentence(change: dict[str, Any], words: str, target: str, detail: str) -> None:
    found = shown(AuditEntry.model_validate(change), {})
    assert (found.words, found.target, found.detail) == (words, target, detail)


def test_a_target_is_called_by_its_name_if_it_has_one() -> None:
    change = entry("member.change", "7", before="member", role="admin")
    assert shown(AuditEntry.model_validate(change), {"7": "bob@example.com"}).target == "bob@example.com"


@pytest.mark.parametrize(
    ("actor", "who"),
    [
        ({"kind": "user", "id": "1", "name": "ada@example.com"}, "ada@example.com"),
        ({"kind": "user", "id": "1", "name": None}, "A former member"),
        ({"kind": "key", "id": "1", "name": "ci"}, "ci"),
        ({"kind": "operator", "id": "1", "name": None}, "Operator"),
        ({"kind": "system", "id": None, "name": None}, "The platform"),
    ],
)
def test_who_did_it_is_said_without_naming_operators(actor: dict[str, Any], who: str) -> None:
    assert shown(AuditEntry.model_validate({**entry("project.create"), "actor": actor}), {}).who == who
