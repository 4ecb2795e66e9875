import hashlib
import re
from collections.abc import Callable

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aldea import credentials
from aldea.credentials import (
    Credential,
    MintedKey,
    checksum_ok,
    from_realtime_request,
    from_request,
    mint_api_key,
    mint_session,
    mint_token,
    sha256_hex,
)
from aldea.errors import InvalidAuth

KEY = "org_adopted.from-elsewhere"
HASH = hashlib.sha256(KEY.encode()).hexdigest()


def read(*headers: tuple[str, str]) -> Credential:
    return from_request(make_mocked_request("GET", "/v1/listen", headers=CIMultiDict(headers)))


@pytest.mark.parametrize(("mint", "prefix"), [(mint_api_key, "org_"), (mint_token, "ats_"), (mint_session, "sess_")])
def test_a_minted_credential_has_its_prefix_hash_and_checksum(mint: Callable[[], MintedKey], prefix: str) -> None:
    minted = mint()
    assert re.fullmatch(prefix + "[0-9A-Za-z]{38}", minted.text)
    assert minted.sha256 == hashlib.sha256(minted.text.encode()).hexdigest()
    assert minted.text.endswith(minted.last4)
    assert len(minted.last4) == 4
    assert checksum_ok(minted.text)
    assert mint().text != minted.text


def test_a_minted_credential_does_not_print_itself() -> None:
    minted = mint_api_key()
    assert minted.text not in f"{minted!r} {minted}"


@given(st.integers(0, 41), st.sampled_from(credentials._BASE62))
def test_one_wrong_letter_anywhere_is_seen_offline(place: int, letter: str) -> None:
    text = mint_api_key().text
    typed = text[:place] + letter + text[place + 1 :]
    assert checksum_ok(typed) == (typed == text)


@pytest.mark.parametrize("text", ["", "org_", KEY, "key_" + "0" * 38, "org_" + "0" * 37, "org_" + "é" * 38])
def test_what_we_did_not_mint_has_no_checksum(text: str) -> None:
    assert not checksum_ok(text)


@pytest.mark.parametrize("scheme", ["Token", "token", "TOKEN", "Bearer", "bearer", "bEARER"])
def test_an_authorization_header_is_read_whatever_its_schemes_case(scheme: str) -> None:
    assert read(("Authorization", f"{scheme} {KEY}")) == Credential(HASH, None)
    assert read(("authorization", f" {scheme}   {KEY} ")) == Credential(HASH, None)


@pytest.mark.parametrize("word", ["token", "bearer", "Token"])
@pytest.mark.parametrize("separator", [", ", ",", " ,  "])
def test_a_browsers_subprotocol_is_read_and_its_first_word_kept_for_the_response(word: str, separator: str) -> None:
    assert read(("Sec-WebSocket-Protocol", f"{word}{separator}{KEY}")) == Credential(HASH, word)


def test_subprotocols_may_come_in_several_lines_and_more_than_two() -> None:
    found = read(("Sec-WebSocket-Protocol", "token"), ("Sec-WebSocket-Protocol", f"{KEY}, chat"))
    assert found == Credential(HASH, "token")


def test_the_authorization_header_comes_first() -> None:
    assert read(("Authorization", f"Token {KEY}"), ("Sec-WebSocket-Protocol", "token, other")) == Credential(HASH, None)


def test_a_key_of_another_make_or_with_a_typo_is_for_redis_to_judge() -> None:
    typo = mint_api_key().text[:-1] + "!"
    assert read(("Authorization", f"Token {typo}")).sha256 == hashlib.sha256(typo.encode()).hexdigest()


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Token")],
        [("Authorization", "Token ")],
        [("Authorization", KEY)],
        [("Authorization", f"Basic {KEY}")],
        [("Authorization", f"Token {KEY} and more")],
        [("Authorization", "Token a,b")],
        [("Authorization", "Token schlüssel")],
        [("Authorization", "Token " + "x" * 1025)],
        [("Authorization", f"Token {KEY}"), ("Authorization", f"Token {KEY}")],
        [("Authorization", "nonsense"), ("Sec-WebSocket-Protocol", f"token, {KEY}")],
        [("Sec-WebSocket-Protocol", "token")],
        [("Sec-WebSocket-Protocol", "token, ")],
        [("Sec-WebSocket-Protocol", f"chat, {KEY}")],
        [("Sec-WebSocket-Protocol", f"{KEY}, token")],
    ],
)
def test_a_missing_or_malformed_credential_is_refused_and_not_repeated(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidAuth) as refused:
        read(*headers)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({"Authorization": "Bearer secret"}, None),
        ({"Authorization": "Bearer secret", "Sec-WebSocket-Protocol": "realtime"}, "realtime"),
        ({"Sec-WebSocket-Protocol": "realtime, openai-insecure-api-key.secret"}, "realtime"),
        ({"Sec-WebSocket-Protocol": "openai-insecure-api-key.secret,openai-beta.realtime-v1,realtime"}, "realtime"),
        ({"Sec-WebSocket-Protocol": "openai-insecure-api-key.secret"}, None),
    ],
)
def test_openais_realtime_clients_send_a_credential_in_either_way(
    headers: dict[str, str], accepted: str | None
) -> None:
    found = from_realtime_request(make_mocked_request("GET", "/v1/realtime", headers=headers))
    assert found == Credential(sha256_hex("secret"), subprotocol=accepted)


@pytest.mark.parametrize(
    "protocols",
    [
        "",
        "realtime",
        "token, secret",
        "openai-insecure-api-key.",
        "realtime, openai-insecure-api-key.one, openai-insecure-api-key.two",
        f"openai-insecure-api-key.{'x' * 1025}",
    ],
)
def test_a_realtime_request_without_one_credential_is_refused(protocols: str) -> None:
    with pytest.raises(InvalidAuth):
        from_realtime_request(make_mocked_request("GET", "/", headers={"Sec-WebSocket-Protocol": protocols}))
