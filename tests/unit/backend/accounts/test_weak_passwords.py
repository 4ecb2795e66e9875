"""Which passwords are guessed first, and which are left alone."""

# ruff: noqa: RUF001 - people choose passwords in every alphabet

import secrets
import string

import pytest

from backend.accounts.weak_passwords import weakness

KNOWN = ("ann.doe@megacorp.example.com", "Ann Doe", "Call Centre")


@pytest.mark.parametrize(
    "password",
    [
        "password1234", "Password1234", "PASSWORD123!", "passwordpassword", "password12345678", "P@ssw0rd1234",
        "p4$$w0rd2024", "drowssap1234", "my-password-123", "thisismypassword", "MyPassword2024!", "pass-word-1234",
        "123456789012", "012345678901", "987654321098", "111111111111", "aaaaaaaaaaaa", "abababababab", "121212121212",
        "112233445566", "123123123123", "abc123abc123", "a1b2c3d4e5f6", "qwertyuiop12", "qwertyuiop[]", "qwerty123456",
        "asdfghjkl123", "1q2w3e4r5t6y", "q1w2e3r4t5y6", "1qaz2wsx3edc", "zaq12wsxcde3", "qazwsxedcrfv", "zxcvbnm12345",
        "abcdefghijkl", "zyxwvutsrqpo", "!@#$%^&*()_+", "йцукенгшщзхъ", "qwertzuiop12", "iloveyouforever",
        "iloveyou1234", "letmein12345", "letmeinplease",
        "welcome12345", "Welcome2024!!", "changeme1234", "administrator",
        "administrator1", "adminadmin123", "superman1234", "football2024", "trustno1trustno1", "monkeymonkey",
        "dragondragon", "dragonmonkey", "dragonmonkey12", "princess1234", "sunshine2023", "michael12345",
        "Jennifer1990", "correcthorsebatterystaple", "supersecret1", "helloworld123", "unbelievable",
        "summer2024!!!", "p a s s w o r d",
        "            ", "000000000000", "19901990199019", "пароль123456", "contraseña123", "ｐａｓｓｗｏｒｄ１２３４",
        "pässwörd1234", "pàsswörd2026!", "Sömmer2026!!", "pass–word–1234", "pass\u200bword1234", "a1s2d3f4g5h6",
        "speechtotext", "apikey123456", "Frühling2026", "Dezember2025", "Deutschland1", "Netflix12345",
    ],
)  # fmt: skip
def test_a_common_password_is_weak_whatever_it_ends_in_and_however_it_is_spelled(password: str) -> None:
    found = weakness(password)
    assert found is not None
    assert found.startswith("The password ")
    assert password.casefold() not in found.casefold()


@pytest.mark.parametrize(
    "password",
    [
        "ann.doe@megacorp.example.com", "anndoe123456", "Ann-Doe-2024!", "doeann123456", "4nnd03123456", "eodnna123456",
        "megacorp12345", "MegaCorp2024!", "m3g4c0rp!!!!", "annmegacorp1", "aldea1234567", "Aldea-2024-Ann",
        "aldeaaldea12", "ald3a-ann-doe", "callcentre12", "CallCentre2024",
        "aldea.ai/2026", "password-aldea", "aldeaspeech1", "AldeaPlatform1",
    ],
)  # fmt: skip
def test_what_is_known_of_the_account_makes_no_password(password: str) -> None:
    assert weakness(password, KNOWN) is not None


def test_the_sentence_says_which_of_the_two_it_is() -> None:
    assert "your name" in str(weakness("megacorp12345", KNOWN))
    assert weakness("megacorp12345xy") is None
    assert "guessed first" in str(weakness("password1234", KNOWN))


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery", "another horse battery", "remembered horse battery", "a long enough sentence",
        "twelve letters", "another sentence", "seven green bicycles", "Mein Hund frisst gern Salat", "9vK#m2Lq!xTz",
        "xkcd-936-comic-strip", "ann likes old lighthouses", "das blaue pferd am see", "我喜欢在河边散步喝茶看书",
        "кот пьёт молоко на крыше", "dragon monkey football", "a password of the benchmark", "3f8a91c07be2",
        "🐙🦊🐝🌵🍋🚲🎺🧶🗿🪁🧭🪐", "मुझे बारिश पसंद है आज", "ผมชอบกินข้าวผัดทุกวัน", "القطة تنام على السرير",
        "Ångström über naïve façade", "i love you more than purple elephants",
    ],
)  # fmt: skip
def test_a_sentence_and_a_random_text_are_left_alone(password: str) -> None:
    assert weakness(password, KNOWN) is None


def test_what_a_password_manager_makes_is_left_alone() -> None:
    alphabets = (string.ascii_letters + string.digits, string.ascii_letters + string.digits + "-_.!#", string.hexdigits)
    refused = sum(
        weakness("".join(secrets.choice(alphabet) for _ in range(16)), KNOWN) is not None
        for alphabet in alphabets
        for _ in range(100)
    )
    assert refused <= 3


def test_the_longest_password_takes_no_long_search() -> None:
    assert weakness("ab1c" * 50) is not None
    assert weakness("".join(chr(0x4E00 + n) for n in range(200))) is None
