"""The console's cookies: the session, known devices, a visitor's nonce, a notice to show once, preferences."""

import hashlib
import re
import secrets
from typing import Final
from zoneinfo import ZoneInfo

from aiohttp import web

# What the API hands out; anything else in the cookie is somebody's experiment and counts as no session.
_SESSION_TOKEN: Final = re.compile(r"sess_[A-Za-z0-9]{20,120}")
# What the API calls a device token, one for each account that signed in here, behind a mark of the account.
_DEVICE: Final = re.compile(r"(?P<account>[0-9a-f]{16}):(?P<token>dev_[A-Za-z0-9_.-]{20,80})")
# Accounts of one browser that are remembered; the one that signed in longest ago goes first.
MAX_DEVICES: Final = 4
_NOTICE: Final = re.compile(r"[a-z-]{1,40}")
_PROJECT_ID: Final = re.compile(r"[0-9a-f-]{36}")
# A notice that was never shown says nothing to anybody after this many seconds.
NOTICE_SECONDS: Final = 60
# Preferences and the last project: half a year.
PREFERENCE_SECONDS: Final = 180 * 86_400
# Written by the browser's own script (static/js/app.js), which knows the reader's zone and choice.
THEME_COOKIE: Final = "theme"
ZONE_COOKIE: Final = "zone"
THEMES: Final = frozenset({"light", "dark"})


class Cookies:
    """Reads and writes the cookies. `secure`: browsers come by HTTPS.

    Then every name that the server writes begins with `__Host-`: browsers take such a cookie only from this very
    host, by HTTPS, for the whole site, so no neighbouring host can plant one (RFC 6265bis section 4.1.3.2).
    """

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure
        prefix = "__Host-" if secure else ""
        self.session_name: Final = f"{prefix}session"
        self._device_name: Final = f"{prefix}device"
        self._visitor_name: Final = f"{prefix}visitor"
        self._notice_name: Final = f"{prefix}notice"
        self._project_name: Final = f"{prefix}project"

    def session(self, request: web.Request) -> str | None:
        """The API's session token, None if nobody is signed in."""
        return _matching(_SESSION_TOKEN, request.cookies.get(self.session_name, ""))

    def set_session(self, response: web.StreamResponse, token: str, seconds: int) -> None:
        """Sign the browser in for so many seconds; the visitor's nonce has served its purpose."""
        self._set(response, self.session_name, token, seconds)
        self._delete(response, self._visitor_name)

    def end_session(self, response: web.StreamResponse) -> None:
        """Sign the browser out."""
        self._delete(response, self.session_name)

    def device(self, request: web.Request, email: str) -> str | None:
        """What the API knows this browser by at the account of `email`."""
        return self._devices(request).get(_mark(email))

    def set_device(
        self, request: web.Request, response: web.StreamResponse, email: str, token: str, seconds: int
    ) -> None:
        """Remember what the API knows this browser by, for so many seconds. Signing out does not end it."""
        kept = self._devices(request)
        kept.pop(_mark(email), None)
        newest = [(_mark(email), token), *kept.items()][:MAX_DEVICES]
        self._set(response, self._device_name, "~".join(f"{account}:{known}" for account, known in newest), seconds)

    def _devices(self, request: web.Request) -> dict[str, str]:
        """Device tokens by their account's mark, the newest first."""
        entries = request.cookies.get(self._device_name, "").split("~")[:MAX_DEVICES]
        return {found["account"]: found["token"] for entry in entries if (found := _DEVICE.fullmatch(entry))}

    def visitor(self, request: web.Request) -> str | None:
        """The nonce that identifies a browser before anybody signs in."""
        return request.cookies.get(self._visitor_name) or None

    def set_visitor(self, response: web.StreamResponse, nonce: str) -> None:
        """Remember a visitor's nonce until the browser is closed."""
        self._set(response, self._visitor_name, nonce, None)

    def notice(self, request: web.Request) -> str | None:
        """The code of the notice that the last action left for the next page."""
        return _matching(_NOTICE, request.cookies.get(self._notice_name, ""))

    def set_notice(self, response: web.StreamResponse, code: str) -> None:
        """Leave a notice for the next page."""
        self._set(response, self._notice_name, code, NOTICE_SECONDS)

    def clear_notice(self, response: web.StreamResponse) -> None:
        """The notice has been shown."""
        self._delete(response, self._notice_name)

    def last_project(self, request: web.Request) -> str | None:
        """The project that was looked at last."""
        return _matching(_PROJECT_ID, request.cookies.get(self._project_name, ""))

    def set_last_project(self, response: web.StreamResponse, project_id: str) -> None:
        """Remember which project to open next time."""
        self._set(response, self._project_name, project_id, PREFERENCE_SECONDS)

    def _set(self, response: web.StreamResponse, name: str, value: str, seconds: int | None) -> None:
        response.set_cookie(name, value, max_age=seconds, path="/", secure=self._secure, httponly=True, samesite="Lax")

    def _delete(self, response: web.StreamResponse, name: str) -> None:
        # A browser forgets a __Host- cookie only by a Set-Cookie that it would also accept.
        response.del_cookie(name, path="/", secure=self._secure, httponly=True, samesite="Lax")


def _mark(email: str) -> str:
    """What identifies an account in the browser, so that the cookie does not reveal its address."""
    return hashlib.sha256(email.strip().casefold().encode("utf-8", "surrogatepass")).hexdigest()[:16]


def new_visitor() -> str:
    """A nonce for a browser that nobody has signed in with."""
    return secrets.token_urlsafe(24)


def theme(request: web.Request) -> str:
    """The theme that the reader chose, light or dark; an empty text for what the system says."""
    chosen = request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else ""


def zone(request: web.Request) -> ZoneInfo:
    """The reader's time zone as the browser said, UTC until it has."""
    name = request.cookies.get(ZONE_COOKIE, "")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def _matching(pattern: re.Pattern[str], text: str) -> str | None:
    return text if pattern.fullmatch(text) else None


COOKIES: Final = web.AppKey("cookies", Cookies)
