"""Previews as Markdown: with a `pulumi` that writes down its calls, and without any."""

import json

from tests.unit.scripts.conftest import ROOT, Place

DIGEST = f"sha256:{'c' * 64}"
PREVIEW = """Previewing update (dev):
  pulumi:pulumi:Stack: (same)
    ~ aws:lb/listenerRule:ListenerRule: (update)
Resources:
    ~ 1 to update
    187 unchanged
"""


def test_a_preview_keeps_the_images_that_are_deployed(place: Place) -> None:
    place.prints("stack-output", json.dumps({"backend": f"registry/dev-backend@{DIGEST}"}))
    place.prints("preview", PREVIEW)
    said = place.run("preview", "cloud", STACK="dev")
    assert said.returncode == 0, said.stderr
    assert place.calls == [
        "pulumi stack output images --json --stack dev",
        f"pulumi config set --stack dev --path images.backend {DIGEST}",
        "pulumi preview --stack dev --diff --non-interactive --color never",
    ]
    text = (place.deploy / "preview-dev.md").read_text()
    assert text.startswith("### Preview of dev\n")
    assert "<summary>~ 1 to update, 187 unchanged</summary>" in text
    assert PREVIEW in text


def test_a_preview_that_fails_is_shown_and_fails(place: Place) -> None:
    place.fail("preview")
    assert place.run("preview", "cloud", STACK="prod").returncode == 255
    text = (place.deploy / "preview-prod.md").read_text()
    assert "**failed**" in text
    assert "error: preview failed" in text


def test_the_offline_preview_shows_both_stacks_whole(place: Place) -> None:
    said = place.run("preview", "offline")
    assert said.returncode == 0, said.stderr
    assert place.calls == []
    text = (place.deploy / "preview-offline.md").read_text()
    for stack in ("dev", "prod"):
        assert (ROOT / "tests" / "infra" / "snapshots" / f"{stack}.txt").read_text() in text


def test_drift_is_looked_for_without_reading_a_secret_or_writing_the_state(place: Place) -> None:
    place.prints("refresh", "Resources:\n    188 unchanged\n")
    assert place.run("preview", "drift", STACK="dev").returncode == 0
    (call,) = place.calls
    assert call.startswith("pulumi refresh --stack dev --preview-only --expect-no-changes ")
    assert call.endswith(" --exclude **:SecretVersion::**")
    assert (place.deploy / "drift-dev.md").read_text().startswith("### Drift of dev: none\n")


def test_drift_that_is_found_fails(place: Place) -> None:
    place.fail("refresh")
    assert place.run("preview", "drift", STACK="prod").returncode == 255
    assert "**found, or not read**" in (place.deploy / "drift-prod.md").read_text()
