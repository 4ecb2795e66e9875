"""By what a client without a proof is recognised."""

import pytest

from backend.accounts.new_devices import AGENT_CHARACTERS, Client


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("curl/8.5.0", "203.0.113.1"), ("curl/8.6", "203.0.113.250"), True),
        (("curl/8.5.0", "203.0.113.1"), ("curl/8.5.0", "203.0.114.1"), False),
        (("curl/8.5.0", "203.0.113.1"), ("Wget/1.2", "203.0.113.1"), False),
        (("curl/8", "2001:db8:1:2::/64"), ("curl/8", "2001:db8:1:3::/64"), True),
        (("curl/8", "2001:db8:1:2::/64"), ("curl/8", "2001:db8:2:2::/64"), False),
        (("curl/8", "unknown"), ("curl/8", "unknown"), True),
    ],
)
def test_a_client_is_its_program_in_any_version_in_its_network(
    one: tuple[str, str], other: tuple[str, str], same: bool
) -> None:
    assert (Client.of(*one).mark("u") == Client.of(*other).mark("u")) is same


def test_two_people_of_one_client_have_marks_of_their_own_which_say_nothing_of_it() -> None:
    client = Client.of("curl/8", "203.0.113.1")
    assert client.network == "203.0.113.0/24"
    assert client.mark("a") != client.mark("b")
    assert len(client.mark("a")) == 32


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("", "unknown"),
        (" \t ", "unknown"),
        ("a\0b\nc", "a b c"),
        ("x" * 9999, "x" * AGENT_CHARACTERS),
        ("\udc80a", "a"),
    ],
)
def test_what_a_program_calls_itself_is_one_short_printable_line(sent: str, kept: str) -> None:
    assert Client.of(sent, "203.0.113.1").agent == kept
