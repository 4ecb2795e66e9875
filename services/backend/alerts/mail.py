"""Mails: by SMTP, or into a folder on one machine."""

import asyncio
import os
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Final, Protocol, Self
from urllib.parse import unquote, urlsplit

import aiosmtplib
import structlog

log = structlog.get_logger("backend.alerts.mail")

SEND_SECONDS: Final = 20.0
SUBMISSION_PORT: Final = 587
SMTPS_PORT: Final = 465


class MailFailed(Exception):
    """It was not sent. `final`: it never will be (SMTP's 5xx)."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail. `mail_id`: the same at every repetition."""

    mail_id: str
    to: str
    subject: str
    text: str

    def message(self, sender: str) -> EmailMessage:
        """As RFC 5322 has it, plain text. Raises ValueError for an address that no header can carry."""
        made = EmailMessage()
        made["From"] = sender
        made["To"] = self.to
        made["Subject"] = self.subject
        made["Message-ID"] = f"<{self.mail_id}@{sender.rpartition('@')[2].rstrip('>')}>"
        # A program sent it: no vacation responder should write back (RFC 3834).
        made["Auto-Submitted"] = "auto-generated"
        made.set_content(self.text)
        return made


class Mailer(Protocol):
    """Sends mails."""

    async def send(self, mail: Mail) -> None:
        """Send it. Raises MailFailed."""


@dataclass(frozen=True, slots=True)
class NoMail:
    """Where no MAIL_URL is set."""

    async def send(self, mail: Mail) -> None:
        """Raise MailFailed."""
        raise MailFailed(f"MAIL_URL is not set, so no mail is sent: {mail.subject}", final=True)


@dataclass(frozen=True, slots=True)
class Folder:
    """Writes each mail into a file, for one machine: people read it there."""

    path: Path
    sender: str

    async def send(self, mail: Mail) -> None:
        """Write it; the log says where."""
        await asyncio.to_thread(self._write, mail)

    def _write(self, mail: Mail) -> None:
        try:
            message = mail.message(self.sender)
            self.path.mkdir(parents=True, exist_ok=True)
            file = self.path / f"{mail.mail_id}.eml"
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
                opened.write(bytes(message))
        except (OSError, ValueError) as error:
            raise MailFailed(f"{type(error).__name__}: {error}") from error
        # A warning, since the onebox shows those.
        log.warning("mail written", subject=mail.subject, file=str(file))


@dataclass(frozen=True, slots=True, repr=False)
class Smtp:
    """A mail server, always over TLS: from the first byte (`tls`) or by STARTTLS."""

    host: str
    port: int
    user: str | None
    password: str | None
    tls: bool
    sender: str

    async def send(self, mail: Mail) -> None:
        """Send it over a connection of its own."""
        try:
            await aiosmtplib.send(
                mail.message(self.sender), hostname=self.host, port=self.port, username=self.user,
                password=self.password, use_tls=self.tls, start_tls=not self.tls, timeout=SEND_SECONDS,
            )  # fmt: skip
        except aiosmtplib.SMTPRecipientsRefused as refused:
            final = all(one.code >= 500 for one in refused.recipients)
            raise MailFailed("the server refuses the address", final=final) from refused
        except aiosmtplib.SMTPResponseException as error:
            raise MailFailed(f"the server responded {error.code}", final=500 <= error.code < 600) from error
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise MailFailed(type(error).__name__) from error


class BadMailUrl(ValueError):
    """MAIL_URL cannot be used."""


@dataclass(frozen=True, slots=True, repr=False)
class MailUrl:
    """`smtps://user:password@host[:465]`, `smtp://user:password@host[:587]` (STARTTLS), or `file:/a/folder`."""

    scheme: str
    host: str
    port: int
    user: str | None
    password: str | None
    path: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Read it. Raises BadMailUrl, whose text holds nothing of it."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise BadMailUrl("not a URL") from None
        if parts.scheme == "file":
            if not parts.path.startswith("/"):
                raise BadMailUrl("file: needs the absolute path of a folder")
            return cls("file", "", 0, None, None, unquote(parts.path))
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
            raise BadMailUrl("not smtps://user:password@host:port, smtp://… (STARTTLS) or file:/folder")
        default = SMTPS_PORT if parts.scheme == "smtps" else SUBMISSION_PORT
        user = None if parts.username is None else unquote(parts.username)
        password = None if parts.password is None else unquote(parts.password)
        return cls(parts.scheme, parts.hostname, port or default, user, password, "")


def mailer(url: str | None, sender: str) -> Mailer:
    """What sends mails by this MAIL_URL. Raises BadMailUrl."""
    if url is None:
        return NoMail()
    found = MailUrl.of(url)
    if found.scheme == "file":
        return Folder(Path(found.path), sender)
    return Smtp(found.host, found.port, found.user, found.password, found.scheme == "smtps", sender)
