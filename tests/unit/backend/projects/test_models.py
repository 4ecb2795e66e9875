"""What a project may be called."""

import pytest
from pydantic import ValidationError

from backend.projects.models import CreateProject


@pytest.mark.parametrize("name", ["a", "Ann's project", "プロジェクト", " x "])
def test_a_name_is_any_text_that_can_be_read(name: str) -> None:
    assert CreateProject(name=name).name == name


@pytest.mark.parametrize("name", ["", " ", "a\0", "x" * 101])
def test_a_name_that_cannot_be_read_or_stored_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        CreateProject(name=name)
