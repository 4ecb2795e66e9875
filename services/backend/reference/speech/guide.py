"""The guide to the speech API: the Markdown of `docs/speech-api*.md` as pages of HTML below `/docs`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

# An image mirrors the repository's layout, so the documents lie at the same place in both.
FOLDER: Final = Path(__file__).resolve().parents[4] / "docs"
HOME: Final = "/docs"


@dataclass(frozen=True, slots=True)
class Chapter:
    """One page: the last segment of its address ("" for the first page), its name in the menu, its file."""

    name: str
    title: str
    file: str

    @property
    def path(self) -> str:
        """Where it is served."""
        return f"{HOME}/{self.name}" if self.name else HOME


CHAPTERS: Final = (
    Chapter("", "Quick start", "speech-api.md"),
    Chapter("parameters", "Parameters", "speech-api-parameters.md"),
    Chapter("responses", "Responses", "speech-api-responses.md"),
    Chapter("live", "Live streams", "speech-api-live.md"),
    Chapter("errors", "Errors", "speech-api-errors.md"),
    Chapter("limits", "Limits", "speech-api-limits.md"),
    Chapter("callbacks", "Callbacks", "speech-api-callbacks.md"),
    Chapter("webhooks", "Webhooks", "speech-api-webhooks.md"),
    Chapter("clients", "Clients", "clients.md"),
    Chapter("cli", "Command line", "cli.md"),
    Chapter("changelog", "Changelog", "speech-api-changelog.md"),
)
# What is served beside the chapters, for the menu.
REFERENCE: Final = f"{HOME}/reference"
LIVE_REFERENCE: Final = f"{HOME}/live-reference"
REFERENCES: Final[Mapping[str, str]] = {
    REFERENCE: "Reference: recorded audio",
    LIVE_REFERENCE: "Reference: live streams",
}
_PATHS: Final = {chapter.file: chapter.path for chapter in CHAPTERS}


def slug(heading: str) -> str:
    """A heading's anchor, as it is usual for Markdown: lower case, hyphens for blanks, no punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def html(markdown: str) -> str:
    """Markdown as HTML. Raw HTML in it is shown as text; links between the documents lead to their pages."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(re.sub(r"^<!--.*?-->\n", "", markdown, flags=re.DOTALL | re.MULTILINE))
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", slug(tokens[place + 1].content))
        for inner in token.children or ():
            _lead(inner)
    found: str = parser.renderer.render(tokens, parser.options, {})
    # A wide table is scrolled by itself, not with the page.
    return found.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")


def _lead(token: Token) -> None:
    target = str(token.attrGet("href") or "")
    file, mark, anchor = target.partition("#")
    if file in _PATHS:
        token.attrSet("href", _PATHS[file] + mark + anchor)


def page(chapter: Chapter, folder: Path = FOLDER) -> str:
    """The whole page of a chapter."""
    return framed(chapter.path, chapter.title, html((folder / chapter.file).read_text()))


def framed(path: str, title: str, main: str) -> str:
    """A page with the guide's menu. `path`: its own address; `main`: its HTML."""
    listed = [(chapter.path, chapter.title) for chapter in CHAPTERS] + list(REFERENCES.items())
    current = ' aria-current="page"'
    menu = "".join(
        f'<li><a href="{other}"{current if other == path else ""}>{escape(name)}</a></li>' for other, name in listed
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} - Aldea Speech API</title>
<link rel="stylesheet" href="{HOME}/reference.css">
</head>
<body class="guide">
<nav aria-label="Documentation">
<p class="brand"><a href="{HOME}">Aldea Speech API</a></p>
<ul>{menu}</ul>
</nav>
<main>
{main}</main>
</body>
</html>
"""
