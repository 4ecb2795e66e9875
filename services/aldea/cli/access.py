"""Where the API is and which key is used: from the environment or a file, never from an argument, which `ps` shows."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aldea.canary.client import StreamFailed

DEFAULT_URL: Final = "https://api.aldea.ai"
URL_VARIABLE: Final = "ALDEA_URL"
KEY_VARIABLE: Final = "ALDEA_KEY"
KEY_FILE_VARIABLE: Final = "ALDEA_KEY_FILE"
# A key is one line of some dozens of letters: a larger file is another one.
_MAX_KEY_BYTES: Final = 4096
_HOW: Final = f"Set {KEY_VARIABLE}, or name a file that holds an API key by --key-file or {KEY_FILE_VARIABLE}."


@dataclass(frozen=True, slots=True)
class Access:
    """The address (http or https, host and port) and the key."""

    url: str
    key: str


def access(url: str | None, key_file: str | None, environment: Mapping[str, str] = os.environ) -> Access:
    """What the options and the environment say. Raises StreamFailed with a sentence for a person."""
    return Access(_url(url or environment.get(URL_VARIABLE) or DEFAULT_URL), _key(key_file, environment))


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        fits = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        fits = False
    if not fits or parts.path.strip("/") or parts.query or parts.username:
        raise StreamFailed(
            f"The address {text!r:.80} cannot be used; allowed: http or https, a host, perhaps a port. "
            f"Correct --url or {URL_VARIABLE}."
        )
    return f"{parts.scheme}://{parts.netloc}"


def _key(key_file: str | None, environment: Mapping[str, str]) -> str:
    given = environment.get(KEY_VARIABLE, "").strip()
    if given and key_file is None:
        return _checked(given, KEY_VARIABLE)
    named = key_file or environment.get(KEY_FILE_VARIABLE)
    if named is None:
        standard = _standard_file(environment)
        if standard is None or not standard.is_file():
            raise StreamFailed(f"There is no API key. {_HOW}")
        named = str(standard)
    return _checked(_read(Path(named)), f"the file {named}")


def _standard_file(environment: Mapping[str, str]) -> Path | None:
    if environment.get("XDG_CONFIG_HOME"):
        return Path(environment["XDG_CONFIG_HOME"]) / "aldea" / "key"
    home = environment.get("HOME") or environment.get("USERPROFILE")
    return Path(home) / ".config" / "aldea" / "key" if home else None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES).decode().strip()
    except UnicodeDecodeError:
        raise StreamFailed(f"The key file {path} is no text. {_HOW}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StreamFailed(f"The key file {path} cannot be read: {reason}. {_HOW}") from None


def _checked(text: str, source: str) -> str:
    # What a header cannot carry would be reported by the HTTP library, with the key in its text.
    if not text.isascii() or not text.isprintable() or " " in text or not text:
        raise StreamFailed(f"What is in {source} is no API key: one begins with org_ and is one word. {_HOW}")
    return text
