"""The shapes of the catalogue."""

import pytest
from pydantic import ValidationError

from backend.catalogue.models import ModelsQuery


def test_the_public_apis_filter_is_read_and_an_unknown_one_refused() -> None:
    assert ModelsQuery.model_validate({"include_outdated": "true"}).include_outdated
    with pytest.raises(ValidationError):
        ModelsQuery.model_validate({"outdated": "true"})
