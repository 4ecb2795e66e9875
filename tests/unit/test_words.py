"""Names, log events, metrics' help and documents use the words of docs/glossary.md."""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("services", "onebox", "infra", "benchmarks", "tests", "scripts")

# Parts of names (of files, modules, functions, classes, variables, arguments) that the field does not use.
REFUSED_PARTS: Final = (
    frozenset({"answer", "answers", "answered", "answering", "ask", "asks", "asked", "asking"})
    | frozenset({"tell", "tells", "told", "telling", "mend", "mends", "mended", "mending"})
    | frozenset({"house", "houses", "door", "doors", "courier", "couriers", "parcel", "parcels"})
)
# The same in prose. "Stands" is refused where something is stored, which no pattern can tell; these it can.
REFUSED_PHRASES: Final = re.compile(
    r"\b(answer(s|ed|ing)?|ask(s|ed|ing)?|tells?|told|mend(s|ed|ing)?|by hand|at night|couriers?|parcels?"
    r"|stands? in|speech (server|engine)s?|transcription servers?)\b",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(r"`[^`]*`")
# Names that others depend on: environment variables, and a file's own method.
KEPT: Final = frozenset({"answer_stall_seconds", "upstream_answer_seconds", "tell"})
# Documents that quote the refused words, or are a record of their day.
QUOTING: Final = ("docs/glossary.md", "docs/decisions/", "CHANGELOG.md")

LOG_METHODS: Final = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
METRICS: Final = frozenset({"Counter", "Gauge", "Histogram", "Summary"})


def tracked(*endings: str) -> list[str]:
    """Files of the repository with one of `endings`."""
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in found.split("\0") if name.endswith(endings) and (ROOT / name).is_file()]


def parts(name: str) -> set[str]:
    """`name` cut at underscores, dots, hyphens and changes to upper case, in lower case."""
    return set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_\W]", " ", name).lower().split())


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What this module names by itself, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Log events and metrics' help, with their lines."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        wanted = node.args[:1] if called in LOG_METHODS else node.args[1:2] if called in METRICS else []
        yield from (
            (each.lineno, each.value)
            for each in wanted
            if isinstance(each, ast.Constant) and isinstance(each.value, str)
        )


SOURCES: Final = [name for name in tracked(".py") if name.startswith(PACKAGES) and "/migrations/versions/" not in name]


@pytest.mark.parametrize("package", PACKAGES)
def test_names_are_the_fields_words(package: str) -> None:
    wrong = []
    for source in SOURCES:
        if not source.startswith(f"{package}/"):
            continue
        wrong += [source] if parts(Path(source).stem) & REFUSED_PARTS else []
        tree = ast.parse((ROOT / source).read_text())
        wrong += [
            f"{source}:{line} {name}"
            for line, name in names(tree)
            if parts(name) & REFUSED_PARTS - {""} and name not in KEPT
        ]
    assert not wrong, f"{len(wrong)} names; docs/glossary.md has the words to use:\n" + "\n".join(sorted(set(wrong)))


def test_log_events_and_metrics_help_are_in_the_fields_words() -> None:
    wrong = []
    for source in SOURCES:
        if source.startswith("tests/"):
            continue
        tree = ast.parse((ROOT / source).read_text())
        wrong += [f"{source}:{line} {text}" for line, text in texts(tree) if REFUSED_PHRASES.search(text)]
    assert not wrong, "docs/glossary.md has the words to use:\n" + "\n".join(wrong)


@pytest.mark.parametrize("document", [name for name in tracked(".md") if not name.startswith(QUOTING)])
def test_documents_are_in_the_fields_words(document: str) -> None:
    lines = (ROOT / document).read_text().splitlines()
    wrong = [f"{document}:{n} {found[0]}" for n, line in enumerate(lines, 1) if (found := REFUSED_PHRASES.search(line))]
    assert not wrong, "docs/glossary.md has the words to use:\n" + "\n".join(wrong)


def remarks(text: str) -> Iterator[tuple[int, str]]:
    """Comments and docstrings of a source with their lines, without the code in them."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.startswith('"""')):
            yield token.start[0], _QUOTED.sub("", token.string)


@pytest.mark.parametrize("package", ["services", "onebox", "infra"])
def test_comments_and_docstrings_are_in_the_fields_words(package: str) -> None:
    wrong = []
    for source in SOURCES:
        if source.startswith(f"{package}/"):
            for line, text in remarks((ROOT / source).read_text()):
                wrong += [f"{source}:{line} {found[0]}" for found in REFUSED_PHRASES.finditer(text)]
    assert not wrong, "docs/glossary.md has the words to use:\n" + "\n".join(wrong)


def test_a_refused_word_is_seen_in_each_kind_of_name() -> None:
    tree = ast.parse("class BestAnswer:\n  def ask_twice(self, told):\n    self.mended = house = told")
    seen = {name for _, name in names(tree) if parts(name) & REFUSED_PARTS}
    assert seen == {"BestAnswer", "ask_twice", "told", "mended", "house"}
