from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.collection import beginning_at, in_order, parts, spread

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"


def files(path: Path) -> set[Path]:
    return set(path.rglob("test_*.py")) if path.is_dir() else {path}


def test_nothing_is_left_out_and_nothing_collected_twice() -> None:
    every = [file for path in parts(TESTS) for file in files(path)]
    assert sorted(every) == sorted(TESTS.rglob("test_*.py"))


def test_each_process_begins_at_another_place_and_goes_through_all() -> None:
    found = parts(TESTS)
    orders = [beginning_at(place, 4, found) for place in range(4)]
    assert orders[0] == found
    assert len({order[0] for order in orders}) == 4
    for order in orders:
        assert sorted(order) == sorted(found)
    assert beginning_at(3, 4, [TESTS]) == [TESTS]


@pytest.mark.parametrize("given", ["a file is named", "one process"])
def test_what_was_named_is_collected_as_it_was_named(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = pytest.Config.ArgsSource
    config = SimpleNamespace(args=["tests"], args_source=source.TESTPATHS, rootpath=ROOT)
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw1")
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "4")
    if given == "one process":
        monkeypatch.delenv("PYTEST_XDIST_WORKER")
    else:
        config.args_source = source.ARGS
    spread(config)  # type: ignore[arg-type]
    assert config.args == ["tests"]


def test_tests_are_in_the_order_of_folders_and_within_a_file_as_they_were() -> None:
    paths = ["b/c/test_a.py", "b/test_z.py", "b/test_z.py", "a/test_x.py", "b/c-d/test_a.py", "b/c.py"]
    items = [SimpleNamespace(path=Path(path), name=n) for n, path in enumerate(paths)]
    in_order(items)  # type: ignore[arg-type]
    assert [item.name for item in items] == [3, 0, 4, 5, 1, 2]
