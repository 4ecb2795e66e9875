"""What an `Idempotency-Key` may be."""

import pytest

from aldea.errors import BadRequest
from backend.idempotency.service import read_key


def test_a_key_is_read_bare_or_quoted() -> None:
    assert read_key([]) is None
    assert read_key(["a-1"]) == "a-1"
    assert read_key(['"a-1"']) == "a-1"
    assert read_key(["x" * 255]) == "x" * 255


@pytest.mark.parametrize("values", [["a", "a"], [""], ['""'], ['"a'], ["a b"], ["a\tb"], ["é"], ["x" * 256], ['"\\""']])
def test_anything_else_is_refused_with_what_is_allowed(values: list[str]) -> None:
    with pytest.raises(BadRequest, match="1 to 255 visible ASCII"):
        read_key(values)
