"""Takes credentials out of what is logged or shown: by the name of a field, and out of any text.

Strangers choose much of such text (a path, a header), so a long text loses its middle first, and every step takes time
in proportion to what is left.
"""

import re
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

REDACTED: Final = "[redacted]"
# What is kept of a text: more than anybody reads in a line of a log.
MAX_CHARACTERS: Final = 4096
# What the code itself makes and somebody needs whole: tracebacks, and a final reading with all its tags.
MAX_LONG_CHARACTERS: Final = 64 * 1024
LONG_FIELDS: Final = frozenset({"exception", "stack", "reading"})
# Percent-encodings inside each other that are looked through: a URL in a query of a URL in a query has three.
MAX_ENCODINGS: Final = 4

# Field names that may hold a credential. "key_id", "request_id" and the like are identifiers and stay.
_SECRET_FIELDS: Final = re.compile(
    r"^(?:proxy-)?(authorization|cookie|set-cookie|password|passwd|secret|token|credentials?|key|(x-)?api[_-]?key"
    r"|sec-websocket-protocol|.*[_-](secret|password|token)|.*(secret|private|access|signing)[_-]key)$",
    re.IGNORECASE,
)
# Credentials inside free text: what the platform mints (also what adopted keys look like; glued to a word only in the
# length that we mint), authorization schemes (also as a WebSocket subprotocol's "token, key" and with a form's "+" for
# a space; what is shorter than 16 characters after a word in lower case is prose), secrets in query strings.
_SECRET_TEXT: Final = re.compile(
    r"(?P<own>(?i:(?<![a-z])(?:org|ats|sess|inv|rst)_[a-z0-9_-]{6,}"
    r"|(?:(?:org|ats|sess)_[a-z0-9]{38}|(?:inv|rst)_[a-z0-9_-]{43})[a-z0-9_-]*"
    r"|dev_[a-z0-9_-]{16}\.[0-9]{10,11}\.[a-z0-9_-]{6,}))"
    r"|(?P<scheme>(?<![A-Za-z])(?:Token|Bearer|Basic),?[\s+]+)[A-Za-z0-9._~+/=-]{6,}"
    r"|(?P<lower>(?<![A-Za-z])(?i:token|bearer|basic),?[\s+]+)[A-Za-z0-9._~+/=-]{16,}"
    r"|(?P<query>[?&](?i:key|api_?key|token|access_token|auth|password|secret|signature|x-amz-[a-z-]+)=)[^&\s\"'#]+",
)
# A URL's password may contain "/" and "@": it begins behind the first user and ends at the last "@" of the word.
_WORD: Final = re.compile(r"[^\s\"']+")
_USER: Final = re.compile(r"://[^:/@]*:")
_TWO_WORDS: Final = re.compile(r"\A\S*\s*\S*")
# Each of `_SECRET_TEXT`'s branches needs one of these, in any case; most texts that are logged have none.
_SUSPECT: Final = (
    "org_", "ats_", "sess_", "inv_", "rst_", "dev_", "token", "bearer", "basic", "key=", "auth=", "password=",
    "secret=", "signature=", "x-amz-",
)  # fmt: skip


def redact_text(text: str, *, longest: int = MAX_CHARACTERS) -> str:
    """`text` without the credentials in it, and without its middle if it is longer than `longest` characters.

    A credential that hides in percent-encoding is found too; the text is shown decoded then.
    """
    if len(text) > longest:
        text = _without_middle(text, longest)
    shown = decoded = _redacted(text)
    for _ in range(MAX_ENCODINGS if "%" in text else 0):
        further = unquote(decoded)
        if further == decoded:
            break
        decoded = _redacted(further)
        if decoded != further:
            shown = decoded
    return shown


def redact(value: Any) -> Any:
    """A field's value, all inside it included, without credentials."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        # JSON knows only text as a key, and a key may itself be what somebody called with a credential.
        redacted = {}
        for name, item in value.items():
            shown, secret = field(str(name))
            if secret:
                redacted[shown] = REDACTED
            elif shown in LONG_FIELDS and isinstance(item, str):
                redacted[shown] = redact_text(item, longest=MAX_LONG_CHARACTERS)
            else:
                redacted[shown] = redact(item)
        return redacted
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    return value


@lru_cache(maxsize=1024)
def field(name: str) -> tuple[str, bool]:
    """A field's name as it may be shown, and whether its value may not; the code's few names come again and again."""
    return redact_text(name), secret_name(name)


def secret_name(name: str) -> bool:
    """Whether what has this name may hold a credential."""
    return _SECRET_FIELDS.match(name) is not None


def _redacted(text: str) -> str:
    lower = text.lower()
    if any(sign in lower for sign in _SUSPECT):
        text = _SECRET_TEXT.sub(lambda m: (m["scheme"] or m["lower"] or m["query"] or "") + REDACTED, text)
    return _WORD.sub(_without_password, text) if "://" in text and "@" in text else text


def _without_password(word: re.Match[str]) -> str:
    text = word[0]
    user = _USER.search(text)
    at = text.rfind("@", user.end() + 1) if user else -1
    return text if user is None or at < 0 else text[: user.end()] + REDACTED + text[at:]


def _without_middle(text: str, longest: int) -> str:
    """The two ends of a text. No word is cut, and none shown whose word before is not: half a secret looks harmless."""
    half = longest // 2
    head = text[: max(text.rfind(space, 0, half) for space in " \n\t") + 1]
    tail = _TWO_WORDS.sub("", text[-half:], count=1)
    return f"{head}[{len(text) - len(head) - len(tail)} characters left out]{tail}"
