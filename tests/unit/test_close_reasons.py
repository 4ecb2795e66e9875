"""Every reason of a close frame that the services send fits into its 123 bytes (RFC 6455 section 5.5) uncut."""

import ast
from pathlib import Path

import pytest

from aldea.admission.grant import Verdict
from stt_api.closing import MAX_REASON_BYTES

SERVICES = Path(__file__).resolve().parents[2] / "services"
SOURCES = sorted((SERVICES / "ws_proxy").rglob("*.py"))
# Wider than any figure, and than what a violation of the protocol is described with.
FIGURE = "9" * 60
# How a reason of ours begins where it is no argument beside its code.
PREFIXES = ("NET-", "DATA-")


def text_of(node: ast.expr) -> str | None:
    """A literal's text with figures where they go, None for any other expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else FIGURE for part in node.values)
    return None


def is_code(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "CloseCode"


def reasons(path: Path) -> list[str]:
    """Texts beside a close code, texts that begin as reasons do, and constants that are called reasons."""
    found: list[str | None] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call | ast.Tuple):
            together = node.args if isinstance(node, ast.Call) else node.elts
            if any(is_code(one) for one in together):
                found += [text_of(one) for one in together]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found += [text_of(node.value)] if node.target.id.endswith("REASON") else []
        elif isinstance(node, ast.expr) and (text := text_of(node)) is not None and text.startswith(PREFIXES):
            found.append(text)
    return [text for text in found if text is not None]


def test_every_reason_of_a_live_stream_fits_into_a_close_frame() -> None:
    found = {text: path for path in SOURCES for text in reasons(path)}
    assert len(found) > 10, "the reasons are not found any more"
    too_long = [f"{path.name}: {text}" for text, path in found.items() if len(text.encode()) > MAX_REASON_BYTES]
    assert not too_long, too_long


@pytest.mark.parametrize("verdict", Verdict)
def test_every_reason_of_a_lease_that_ended_fits_into_a_close_frame(verdict: Verdict) -> None:
    assert len(verdict.close_reason.encode()) <= MAX_REASON_BYTES
