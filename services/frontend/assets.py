"""The browser's files: read and compressed once in a process, served under an address that names their content."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from aiohttp import web

STATIC: Final = Path(__file__).parent / "static"
# A file's address changes with any file's content, so that browsers may cache it without end.
FOR_EVER: Final = "public, max-age=31536000, immutable"
# For a request with another version's address, as while two versions run side by side: this version's file, not cached.
FOR_NOW: Final = "no-cache"
# Already compressed by their own format.
_INCOMPRESSIBLE: Final = frozenset({".woff2", ".png"})
_TYPES: Final = {".woff2": "font/woff2", ".js": "text/javascript", ".svg": "image/svg+xml", ".ico": "image/x-icon"}
_DIGEST_CHARACTERS: Final = 12


@dataclass(frozen=True, slots=True)
class Asset:
    """One file. `compressed`: its gzip, None where that gains nothing."""

    content: bytes
    compressed: bytes | None
    content_type: str


class Assets:
    """All files below `folder`, by their path in it."""

    def __init__(self, folder: Path = STATIC) -> None:
        names = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md")
        self._files: Mapping[str, Asset] = {path.relative_to(folder).as_posix(): _load(path) for path in names}
        digest = hashlib.sha256()
        for name, asset in self._files.items():
            digest.update(f"{name} {len(asset.content)} ".encode() + asset.content)
        self.version: Final = digest.hexdigest()[:_DIGEST_CHARACTERS]

    def url(self, name: str) -> str:
        """The address of a file. Raises KeyError for one that does not exist: a template's mistake."""
        if name not in self._files:
            raise KeyError(f"no such file below static: {name}")
        return f"/static/{self.version}/{name}"

    async def serve(self, request: web.Request) -> web.Response:
        """Serve `/static/{version}/{name}`."""
        asset = self._files.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound
        headers = {
            "Cache-Control": FOR_EVER if request.match_info["version"] == self.version else FOR_NOW,
            "Content-Type": asset.content_type,
            "Vary": "Accept-Encoding",
        }
        if asset.compressed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=asset.compressed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=asset.content, headers=headers)


def _load(path: Path) -> Asset:
    content = path.read_bytes()
    guessed = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    text = guessed.startswith("text/") or guessed == "image/svg+xml"
    return Asset(
        content=content,
        compressed=None if path.suffix in _INCOMPRESSIBLE else gzip.compress(content, mtime=0),
        content_type=f"{guessed}; charset=utf-8" if text else guessed,
    )


@cache
def shipped() -> Assets:
    """The console's own files."""
    return Assets()


ASSETS: Final = web.AppKey("assets", Assets)
