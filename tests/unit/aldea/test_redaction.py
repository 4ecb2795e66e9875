"""What is taken out of texts and fields, and what is left alone."""

import ast
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldea import credentials
from aldea.redaction import MAX_CHARACTERS, REDACTED, redact, redact_text
from backend.accounts import devices

KEY = "org_4fGh7Jk2LmN8pQr3StU6vWx"
SERVICES = Path(__file__).resolve().parents[3] / "services"


def minted_prefixes() -> set[str]:
    """Every prefix of a secret that any service mints: the constants that are called so."""
    found = set()
    # Parsing all of them would be the longest that collecting the tests takes, and each process of tests collects.
    texts = [text for path in SERVICES.rglob("*.py") if "_PREFIX" in (text := path.read_text())]
    for text in texts:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                value = node.value.value if isinstance(node.value, ast.Constant) else None
                if node.target.id.endswith("_PREFIX") and isinstance(value, str) and value.endswith("_"):
                    found.add(value)
    return found


MINTED = sorted(minted_prefixes())
BODY = "4fGh7Jk2LmN8pQr3StU6vWxYz01234567ABCDE-_abc"  # as long as the longest


def test_the_prefixes_are_found() -> None:
    assert {"org_", "ats_", "sess_", "inv_", "rst_"} <= set(MINTED)


@pytest.mark.parametrize("prefix", MINTED)
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "key_{}",
        "apikey{}",
        "Token%20{}",
        "Token {}",
        "/transcribe/{}/x",
        "?a=1&k={};b",
        "%2F{}",
        "%3D{}%26",
        "{{'key': '{}'}}",
        "a\n{}\nb",
        "x" * 3000 + " {} " + "y " * 3000,
    ],
)
def test_whatever_the_platform_mints_is_hidden_wherever_it_occurs(prefix: str, around: str) -> None:
    secret = prefix + BODY.replace("-", "0").replace("_", "1")
    for spelled in (secret, secret.upper(), secret.lower(), quote(secret), secret.replace("_", "%5f")):
        shown = redact_text(around.format(spelled))
        assert secret[4:20].lower() not in shown.lower()
        assert REDACTED in shown or "characters left out" in shown


@pytest.mark.parametrize("prefix", MINTED)
def test_percent_encoding_hides_nothing(prefix: str) -> None:
    text = f"key={prefix}{BODY}"
    for _ in range(3):
        text = "".join(f"%{ord(letter):02x}" if letter not in "%0123456789" else letter for letter in text)
        text = text.replace("%", "%25") if _ else text
        assert redact_text(f"/a?b={text}") == f"/a?b=key={REDACTED}"


def test_every_minting_is_hidden() -> None:
    for mint in (credentials.mint_api_key, credentials.mint_token, credentials.mint_session):
        secret = mint().text
        assert redact_text(f"was{secret}") == f"was{REDACTED}"
    proof = devices.issue("u", "h", 1_800_000_000).text
    assert redact_text(f"/login?known={quote(proof)}, is{proof}.") == f"/login?known={REDACTED}, is{REDACTED}."
    assert redact_text("dev_database.1 on dev_1") == "dev_database.1 on dev_1"


@pytest.mark.parametrize(
    "text",
    [
        f"bad key {KEY}.",
        "token ats_abcdefghij was refused",
        "session sess_abcdefghij ended",
        "Authorization: Token 0123456789abcdef",
        "Authorization%3A%20Token%200123456789abcdef",
        "Bearer+0123456789abcdef",
        "authorization: bearer eyJhbGciOiJIUzI1NiJ9.e30.0123456789abcdef",
        "Sec-WebSocket-Protocol: token, 0123456789abcdef0123",
        "redis://user:0123456789abcdef@host:6379/0",
        "REDIS://:0123456789abcdef@host",
        "postgresql://user:01/23@45@89abcdef@host/db",
        "see http://host/?next=redis://:0123456789abcdef@host",
        "/listen?callback=https%3A%2F%2Fuser%3A0123456789abcdef%40host%2F",
        "https://host/listen?model=x&access_token=0123456789abcdef",
        "https://bucket/?X-Amz-Signature=0123456789abcdef&x=1",
        "next=%2Flisten%3FAPI_KEY%3D0123456789abcdef",
    ],
)
def test_no_credential_stays_in_free_text(text: str) -> None:
    assert REDACTED in redact_text(text)
    for secret in (KEY[4:], "abcdefghij", "0123456789abcdef", "01/23", "89abcdef"):
        assert secret not in redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "token expired, basic checks passed",
        "https://host:8080/v1/listen?model=nova&keywords=a",
        "key_id 0190a5e2-0000-7000-8000-000000000001",
        "first_page_of_requests, first_0190a5e2-0000-7000-8000-000000000001",
        "100 %, %41bc, a%20b",
        "mail ann@example.com at http://host:80",
        "redis://:@host",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact_text(text) == text


def test_what_a_url_points_to_stays_readable() -> None:
    assert redact_text("redis://user:pw@host:6379/0") == f"redis://user:{REDACTED}@host:6379/0"


@given(st.text(max_size=40), st.integers(0, MAX_CHARACTERS), st.sampled_from(["\t", " ", "\n"]))
def test_a_long_text_loses_its_middle_and_shows_no_half_of_a_secret(around: str, before: int, space: str) -> None:
    secret = f"Token {KEY} redis://u:hidden/pw@host"
    shown = redact_text(around + "x" * before + space + secret + space + "y" * MAX_CHARACTERS)
    assert "characters left out" in shown
    assert len(shown) < MAX_CHARACTERS + 100
    assert "pQr3" not in shown
    assert "hidden" not in shown


def test_both_ends_of_a_long_text_are_shown() -> None:
    shown = redact_text("first words " + "x " * MAX_CHARACTERS + "last words")
    assert shown.startswith("first words x")
    assert shown.endswith("x last words")


@pytest.mark.parametrize(
    "name", ["Authorization", "Cookie", "token", "key", "api_key", "X-Api-Key", "stt_upstream_token", "db_password"]
)
def test_a_field_that_may_hold_a_credential_is_hidden_whatever_its_value(name: str) -> None:
    assert redact({name: "abc"})[name] == REDACTED
    assert redact({"headers": {name: "abc"}})["headers"][name] == REDACTED


@pytest.mark.parametrize("name", ["key_id", "request_id", "tokens_used", "keyspace"])
def test_identifiers_are_no_secrets(name: str) -> None:
    assert redact({name: "abc"})[name] == "abc"
