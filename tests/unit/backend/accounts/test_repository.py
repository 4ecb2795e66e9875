"""When two addresses are the same account's."""

from backend.accounts.repository import email_key


def test_case_and_surrounding_space_make_no_other_account() -> None:
    assert email_key(" Ann@Example.COM ") == email_key("ann@example.com")
    assert email_key("ann@example.com") != email_key("an.n@example.com")
