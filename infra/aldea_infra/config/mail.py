"""Which `mailUrl` a stack may have, and the port that its backend then must reach.

The backend reads the same text (`backend.alerts.mail.MailUrl`); infra imports no service, so a test compares the two.
"""

import re
from typing import Final

SMTPS_PORT: Final = 465
SUBMISSION_PORT: Final = 587
# SMTP over TLS (RFC 8314 section 3.3), submission with STARTTLS (RFC 6409 section 3.1), and what mail services offer
# beside them. Not 25: AWS blocks it by default.
PORTS: Final = (SMTPS_PORT, SUBMISSION_PORT, 2465, 2525, 2587)
# RFC 3986 section 3.2.1; a raw / or @ in a password would be read as the end of the host or of the password. An encoded
# control character is a line's end that was copied with the password.
URL: Final = re.compile(
    r"(?P<scheme>smtps?)://"
    r"(?:(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[2-689A-Fa-f][0-9A-Fa-f]|%7[0-9A-Ea-e]){1,256}"
    r":(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[2-689A-Fa-f][0-9A-Fa-f]|%7[0-9A-Ea-e]){1,1024}@)?"
    r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
    r"(?::(?P<port>465|587|2465|2525|2587))?"
)
ALLOWED: Final = (
    "smtps://USER:PASSWORD@HOST:465, or smtp://USER:PASSWORD@HOST:587 (STARTTLS); ports "
    f"{', '.join(map(str, PORTS))}; in USER and PASSWORD percent-encoded / (%2F), @ (%40), : (%3A), # (%23), % (%25)"
)


def port(url: str) -> int:
    """The TCP port of a `mailUrl` that fits."""
    found = URL.fullmatch(url)
    if found is None:
        raise ValueError(f"mailUrl does not fit (not shown); allowed: {ALLOWED}")
    return int(found["port"] or (SMTPS_PORT if found["scheme"] == "smtps" else SUBMISSION_PORT))
