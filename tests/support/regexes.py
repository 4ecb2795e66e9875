"""Every regular expression of the code, and how its time grows on texts that are made, out of itself, to be slow.

The engine of `re` backtracks: on some texts an expression takes time quadratic, or worse, in their length. Such a text
is a part of the expression again and again, behind what leads to it and before something that never fits.
Growth is measured in CPU time of this thread, the least of several runs, so that a busy machine changes nothing: four
times the text takes a linear expression four times as long, a quadratic one sixteen times.
"""

import ast
import gc
import importlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from re import _constants as kinds
from re import _parser as parser
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
# Where modules are found, and the folders of each that are looked through.
SOURCES: Final = ((ROOT / "services", ""), (ROOT / "infra", ""), (ROOT, "onebox"))
CALLS: Final = frozenset({"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"})
# These look at a text's beginning alone; all others try every place.
ANCHORED: Final = frozenset({"match", "fullmatch"})
_USED: Final = re.compile(r"\bre\.")
# The position of `flags` among a call's arguments.
_FLAGS_AT: Final = {"sub": 4, "subn": 4, "split": 3}

SHORT: Final = 2048
LONG: Final = 8192
# Between 4, which is linear, and 16, which is quadratic.
GROWTH: Final = 8.5
# So long takes no text of 8 KB that is looked through once; eight times the text could take a minute.
CERTAIN_SECONDS: Final = 0.05
# Texts of an expression that are measured closely: the slowest of short ones, and those whose time grows most.
SUSPECTS: Final = 4
ROUNDS: Final = 6

_CANDIDATES: Final = "ax0_ /:@.-\t\n\"'\\=,\u00e9\x00"
# What ends a text so that hardly anything fits.
_ENDS: Final = ("", "\x00", "!\n")


@dataclass(frozen=True)
class Found:
    """An expression and where it stands; `scans`: whether it is tried at every place of a text."""

    place: str
    pattern: re.Pattern[Any]
    scans: bool


@dataclass(frozen=True)
class Unknown:
    """A call whose expression is made while the program runs."""

    place: str
    source: str


def files() -> Iterator[tuple[Path, Path]]:
    """The files that may call `re`, each behind the folder where its module is found: no file is parsed for it."""
    for root, folder in SOURCES:
        for path in sorted((root / folder).rglob("*.py")):
            if _USED.search(path.read_text()):
                yield root, path


def expressions(root: Path, path: Path) -> Iterator[Found | Unknown]:
    """Every call of `re` with an expression in one of the `files`."""
    tree = ast.parse(path.read_text())
    parents = _parents(tree)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re"):
            continue
        method, place = node.func.attr, f"{path.relative_to(ROOT)}:{node.lineno}"
        given = node.args[_FLAGS_AT.get(method, 2 if method != "compile" else 1) :][:1]
        given += [keyword.value for keyword in node.keywords if keyword.arg == "flags"]
        try:
            expression = _value(node.args[0], root, path)
            flags = _value(given[0], root, path) if given else 0
        except NameError:
            yield Unknown(place, ast.unparse(node.args[0]))
            continue
        pattern = expression if isinstance(expression, re.Pattern) else re.compile(expression, flags)
        used = {method} if method != "compile" else _uses(node, parents)
        yield Found(place, pattern, scans=not used or not used <= ANCHORED)


def foreign_engines() -> list[str]:
    """Ways past `expressions`: names imported out of `re`, another name for it, other engines."""
    found = []
    for root, folder in SOURCES:
        for path in sorted((root / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [(each.name, each.asname) for each in node.names] if isinstance(node, ast.Import) else []
                module = node.module if isinstance(node, ast.ImportFrom) else None
                if module in {"re", "regex", "re2"} or any(
                    n in {"regex", "re2"} or (n == "re" and a) for n, a in names
                ):
                    found.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    return found


def _value(node: ast.expr, root: Path, path: Path) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        module = importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
        return eval(compile(ast.Expression(node), str(path), "eval"), vars(module))


def _uses(node: ast.expr, parents: dict[ast.AST, ast.AST]) -> set[str]:
    """By which methods a compiled expression is used; nothing if that is not clear."""
    parent = parents[node]
    if isinstance(parent, ast.Attribute):
        return {parent.attr}
    name = parent.target if isinstance(parent, ast.AnnAssign) else None
    if not isinstance(name, ast.Name):
        return set()
    # A private name is used in its own file alone, a public one also where it is imported.
    importing = [] if name.id.startswith("_") else _importing(name.id)
    return {method for within in (parents, *importing) for method in _methods(name.id, within)}


def _importing(name: str) -> list[dict[ast.AST, ast.AST]]:
    """The files that import `name`."""
    mentioning = [_parents_in(path) for path, text in _all_texts().items() if name in text]
    return [each for each in mentioning if any(isinstance(node, ast.alias) and node.name == name for node in each)]


def _methods(name: str, parents: dict[ast.AST, ast.AST]) -> Iterator[str]:
    for each, above in parents.items():
        if isinstance(each, ast.Name) and each.id == name and not isinstance(each.ctx, ast.Store):
            yield above.attr if isinstance(above, ast.Attribute) else "anything"


@cache
def _all_texts() -> dict[Path, str]:
    return {path: path.read_text() for root, folder in SOURCES for path in (root / folder).rglob("*.py")}


@cache
def _parents_in(path: Path) -> dict[ast.AST, ast.AST]:
    return _parents(ast.parse(_all_texts()[path]))


def _parents(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def slow_text(pattern: re.Pattern[Any], *, scans: bool) -> str | None:
    """A description of a text on which `pattern` takes more than linear time; None if none was found."""
    measured = []
    for make in _texts(pattern):
        # What is exponential shows in a text of a dozen characters, and would never end in a long one.
        for smaller, size in pairwise((12, 18, 24, 256)):
            text = make(size)
            # One measurement may hold what the machine did meanwhile; what is slow is so each time.
            seconds = _seconds(pattern, text, scans=scans)
            slow = seconds > 0.001 and all(_seconds(pattern, text, scans=scans) > 0.001 for _ in range(2))
            if slow and _grows(pattern, make, smaller, size, scans=scans, factor=size / smaller * 2.1):
                return f"{make(24)!r}, of {size} characters already"
        longer = _seconds(pattern, make(1024), scans=scans)
        measured.append((longer, longer / max(seconds, 1e-7), make))
    suspects = [*sorted(measured, key=itemgetter(0))[-SUSPECTS:], *sorted(measured, key=itemgetter(1))[-SUSPECTS:]]
    for make in {id(each): each[2] for each in suspects}.values():
        if _grows(pattern, make, SHORT, LONG, scans=scans, factor=GROWTH) and _confirmed(pattern, make, scans=scans):
            return f"{make(24)!r}, made longer"
    return None


def _grows(
    pattern: re.Pattern[Any], make: Callable[[int], str], short: int, long: int, *, scans: bool, factor: float
) -> bool:
    least_short = least_long = float("inf")
    for attempt in range(ROUNDS):
        least_short = min(least_short, _seconds(pattern, make(short), scans=scans))
        least_long = min(least_long, _seconds(pattern, make(long), scans=scans))
        if least_long <= factor * least_short:
            return False
        if attempt and least_long > 1.5 * factor * least_short:
            break  # beyond any doubt
    return True


def _confirmed(pattern: re.Pattern[Any], make: Callable[[int], str], *, scans: bool) -> bool:
    """A machine that is slow for a while shows a growth that is none; what does not grow linearly grows further on.

    Eight times the text takes a linear expression eight times as long, a quadratic one 64 times.
    """
    least = float("inf")
    for _ in range(3):
        least = min(least, _seconds(pattern, make(LONG), scans=scans))
        if least > CERTAIN_SECONDS:
            return True
        if _seconds(pattern, make(8 * LONG), scans=scans) <= 24 * least:
            return False
    return True


def _seconds(pattern: re.Pattern[Any], text: str, *, scans: bool) -> float:
    subject: Any = text if isinstance(pattern.pattern, str) else text.encode("latin-1", "replace")
    collected = gc.isenabled()
    gc.disable()
    try:
        began = time.thread_time()
        if scans:
            for _ in pattern.finditer(subject):
                pass
        else:
            pattern.match(subject)
            pattern.fullmatch(subject)
        return time.thread_time() - began
    finally:
        if collected:
            gc.enable()


def _texts(pattern: re.Pattern[Any]) -> list[Callable[[int], str]]:
    """Makers of texts of about a given length."""
    source = pattern.pattern
    tree = parser.parse(source, pattern.flags & ~re.UNICODE if isinstance(source, bytes) else pattern.flags)
    made: dict[tuple[str, str], None] = {}
    alphabet: dict[str, None] = {}
    for lead, nodes in _sequences(tree, ""):
        for start in range(len(nodes)):
            before = lead + _example(nodes[:start])
            for end in range(start + 1, len(nodes) + 1):
                pump = _example(nodes[start:end])
                alphabet |= dict.fromkeys(pump)
                made |= dict.fromkeys(((before, pump), ("", pump)))
            letters = _letters(*nodes[start])
            alphabet |= dict.fromkeys(letters)
            made |= dict.fromkeys((before, letter) for letter in letters)
    made |= dict.fromkeys(("", letter) for letter in alphabet)
    pairs = [(lead, pump) for lead, pump in made if pump]

    def maker(lead: str, pump: str, end: str) -> Callable[[int], str]:
        return lambda size: lead + pump * ((size - len(lead) - len(end)) // len(pump) or 1) + end

    return [maker(lead, pump, end) for lead, pump in pairs for end in _ENDS]


def _sequences(nodes: Sequence[Any], lead: str) -> Iterator[tuple[str, Sequence[Any]]]:
    """Each sequence inside an expression, with an example of what comes before it."""
    yield lead, nodes
    for place, node in enumerate(nodes):
        before = lead + _example(nodes[:place])
        for inner in _inside(node):
            yield from _sequences(inner, before)


def _inside(node: Any) -> Iterable[Sequence[Any]]:
    kind, argument = node
    if kind is kinds.BRANCH:
        return list(argument[1])
    if kind is kinds.SUBPATTERN:
        return [argument[3]]
    if kind in {kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT}:
        return [argument[2]]
    if kind in {kinds.ASSERT, kinds.ASSERT_NOT}:
        return [argument[1]]
    if kind is kinds.ATOMIC_GROUP:
        return [argument]
    return []


def _example(nodes: Sequence[Any]) -> str:
    """A short text that fits, every repeatable part of it at least once."""
    return "".join(_example_of(*node) for node in nodes)


def _example_of(kind: Any, argument: Any) -> str:
    if kind is kinds.LITERAL:
        return chr(argument)
    if kind in {kinds.NOT_LITERAL, kinds.ANY, kinds.IN, kinds.CATEGORY}:
        return _letter(kind, argument)
    if kind in {kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT}:
        least, _, body = argument
        return _example(body) * int(min(max(least, 1), 64))
    if kind in {kinds.ASSERT, kinds.ASSERT_NOT, kinds.AT, kinds.GROUPREF, kinds.GROUPREF_EXISTS}:
        return ""
    return _example(next(iter(_inside((kind, argument)))))


def _letter(kind: Any, argument: Any) -> str:
    """A character that fits."""
    return next(iter(_letters(kind, argument)), "a")


def _letters(kind: Any, argument: Any) -> list[str]:
    """Characters that fit a class, or a repetition of one; nothing for whatever is no class."""
    if kind in {kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT} and len(argument[2]) == 1:
        return _letters(*argument[2][0])
    if kind is kinds.ANY:
        return ["a"]
    if kind not in {kinds.IN, kinds.NOT_LITERAL, kinds.CATEGORY}:
        return []
    named = argument if kind is kinds.IN and argument[0][0] is not kinds.NEGATE else []
    letters = [chr(value if item is kinds.LITERAL else value[0]) for item, value in named if item in _NAMED]
    return [*letters, *(each for each in _CANDIDATES if _fits(kind, argument, each))][:12]


def _fits(kind: Any, argument: Any, letter: str) -> bool:
    if kind is kinds.NOT_LITERAL:
        return bool(ord(letter) != argument)
    if kind is kinds.CATEGORY:
        return bool(_CATEGORIES[argument](letter))
    negated, fits = False, False
    for item, value in argument:
        if item is kinds.NEGATE:
            negated = True
        elif item is kinds.RANGE:
            fits |= value[0] <= ord(letter) <= value[1]
        else:
            fits |= _fits(item, value, letter) if item is kinds.CATEGORY else ord(letter) == value
    return bool(fits) is not negated


_NAMED: Final = frozenset({kinds.LITERAL, kinds.RANGE})
_CATEGORIES: Final[dict[Any, Callable[[str], bool]]] = {
    kinds.CATEGORY_DIGIT: str.isdigit,
    kinds.CATEGORY_NOT_DIGIT: lambda letter: not letter.isdigit(),
    kinds.CATEGORY_SPACE: str.isspace,
    kinds.CATEGORY_NOT_SPACE: lambda letter: not letter.isspace(),
    kinds.CATEGORY_WORD: lambda letter: letter.isalnum() or letter == "_",
    kinds.CATEGORY_NOT_WORD: lambda letter: not (letter.isalnum() or letter == "_"),
}
