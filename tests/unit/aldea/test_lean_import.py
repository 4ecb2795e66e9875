import sys
from pathlib import Path

import pytest

from aldea.lean_import import import_without


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A library that takes an optional one where it is installed."""
    (tmp_path / "optional_part.py").write_text("")
    (tmp_path / "with_a_choice.py").write_text(
        "try:\n    import optional_part\nexcept ImportError:\n    optional_part = None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("optional_part", "with_a_choice"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "with_a_choice"


def test_the_library_comes_without_it_and_others_may_import_it_afterwards(library: str) -> None:
    import_without("optional_part", library)
    assert sys.modules[library].optional_part is None
    assert "optional_part" not in sys.modules


def test_what_the_process_has_imported_already_stays(library: str) -> None:
    optional = __import__("optional_part")
    import_without("optional_part", library)
    assert sys.modules[library].optional_part is optional is sys.modules["optional_part"]


def test_a_library_that_is_not_there_leaves_nothing_hidden(library: str) -> None:
    with pytest.raises(ImportError):
        import_without("optional_part", f"{library}.missing")
    assert "optional_part" not in sys.modules
