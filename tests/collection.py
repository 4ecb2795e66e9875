"""In which order each of several processes collects the tests.

Each of them imports every test file, and on a clean clone none of it is compiled: four processes that went through the
files in the same order would compile each file four times, at the same moment. So each begins at another place, and
finds compiled what the others have come by; the tests' own order is the same in all.
"""

import os
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import pytest


def parts(root: Path) -> list[Path]:
    """What to collect instead of `root`, in the order of names: its folders; of those that have folders, the parts."""
    found = []
    for folder in _in(root):
        inner = _in(folder)
        # A folder of files alone stays whole: its conftest may leave some out, but leaves in what is named.
        found += inner if any(each.is_dir() for each in inner) else [folder]
    return found


def _in(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if _holds_tests(each))


def _holds_tests(path: Path) -> bool:
    return any(path.rglob("test_*.py")) if path.is_dir() else path.match("test_*.py")


def beginning_at(place: int, of: int, found: Sequence[Path]) -> list[Path]:
    """The same, begun where the `place`th (from 0) of `of` parts with as many files begins."""
    sizes = [sum(1 for _ in path.rglob("*.py")) if path.is_dir() else 1 for path in found]
    start = next((n for n, before in enumerate(accumulate(sizes, initial=0)) if before * of >= sum(sizes) * place), 0)
    return [*found[start:], *found[:start]]


def spread(config: pytest.Config) -> None:
    """Let this process collect in an order of its own, if it is one of several that collect everything."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    place, of = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    roots = [config.rootpath / argument for argument in config.args]
    config.args = [str(path) for path in beginning_at(place, of, [each for root in roots for each in parts(root)])]


def in_order(items: list[pytest.Item]) -> None:
    """The tests as if they had been collected folder by folder."""
    items.sort(key=lambda item: item.path.parts)
