"""What every image is built from: pinned, with nothing installed at the build but hashed wheels."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "services" / "Dockerfile").read_text()
LINES = [line for line in TEXT.splitlines() if not line.startswith("#")]


def test_the_base_image_is_pinned_by_digest() -> None:
    (pinned,) = [line for line in LINES if line.startswith("ARG PYTHON_IMAGE=")]
    assert re.search(r"@sha256:[0-9a-f]{64}$", pinned)
    assert {line.split()[1] for line in LINES if line.startswith("FROM ")} == {"${PYTHON_IMAGE}", "runtime"}


def test_nothing_is_installed_that_nobody_pinned() -> None:
    text = "\n".join(LINES) + (ROOT / "scripts" / "moonshine").read_text()
    assert not re.search(r"\b(apt-get|apt|curl|wget)\b", text)
    # One for all services, and one for the STT server's engine.
    assert text.count("pip --python") == text.count("--require-hashes") == text.count("--only-binary=:all:") == 2


def test_a_container_may_write_to_tmp_and_runs_as_a_user_of_its_own() -> None:
    assert LINES.index('VOLUME ["/tmp"]') < LINES.index("USER 10001")
    assert not [line for line in LINES if line.startswith("ENTRYPOINT")]


def test_what_builds_the_images_takes_the_same_base() -> None:
    assert "services/Dockerfile" in (ROOT / "scripts" / "images").read_text().partition("base=")[2].splitlines()[0]
