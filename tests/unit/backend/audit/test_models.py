"""Where a page of the audit log may begin."""

import pytest
from pydantic import ValidationError

from backend.audit.models import AuditQuery


def test_a_page_token_is_the_number_of_an_entry_that_postgresql_can_hold() -> None:
    assert AuditQuery.model_validate({"page_token": "9" * 18}).page_token == "9" * 18
    for token in ("", "-1", "1.5", "x", "9" * 19, "1 or true"):
        with pytest.raises(ValidationError):
            AuditQuery.model_validate({"page_token": token})
