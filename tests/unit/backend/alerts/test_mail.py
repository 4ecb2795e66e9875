"""Mails: the addresses of servers, and what a message looks like."""

from pathlib import Path

import pytest

from backend.alerts.mail import BadMailUrl, Folder, Mail, MailFailed, MailUrl, NoMail, Smtp, mailer

MAIL = Mail("018f0000-0000-7000-8000-00000000000a", "ann@example.com", "Aldea: é", "text")


def test_a_server_is_reached_over_tls_by_its_url() -> None:
    assert mailer("smtps://u%40x:p%2F@mail.example", "a@b.c") == Smtp("mail.example", 465, "u@x", "p/", True, "a@b.c")
    assert mailer("smtp://mail.example:2525", "a@b.c") == Smtp("mail.example", 2525, None, None, False, "a@b.c")
    assert mailer("file:/tmp/a%20b", "a@b.c") == Folder(Path("/tmp/a b"), "a@b.c")
    assert isinstance(mailer(None, "a@b.c"), NoMail)


@pytest.mark.parametrize("url", ["http://x", "smtps://", "file:relative", "file://", "smtp://h:99999", "nothing", ""])
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(BadMailUrl) as refused:
        MailUrl.of(url)
    assert "99999" not in str(refused.value)


def test_a_secret_is_not_printed() -> None:
    assert "secret" not in repr(mailer("smtps://user:secret@h", "a@b.c")) + repr(MailUrl.of("smtps://user:secret@h"))


def test_a_message_has_one_id_however_often_it_is_sent() -> None:
    message = MAIL.message("Aldea <no-reply@aldea.ai>")
    assert message["Message-ID"] == f"<{MAIL.mail_id}@aldea.ai>"
    assert message["Subject"] == "Aldea: é"
    assert message["Auto-Submitted"] == "auto-generated"


async def test_without_a_server_a_mail_fails_for_good() -> None:
    with pytest.raises(MailFailed) as failed:
        await NoMail().send(MAIL)
    assert failed.value.final


async def test_an_address_that_no_header_can_carry_fails_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(MailFailed):
        await Folder(tmp_path, "a@b.c").send(Mail("1", "a@b.c\r\nBcc: x@y.z", "s", "t"))
    assert list(tmp_path.iterdir()) == []
