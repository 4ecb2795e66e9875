"""The fields of plain heads, by name in any case."""

from http_proxy.raw.fields import MAX_FIELDS, read_fields

BLOCK = b"Host: x\r\nX-A:b c\r\n"


def test_fields_are_found_by_names_in_any_case() -> None:
    found = read_fields(BLOCK, frozenset())
    assert found is not None
    assert found.raw == [(b"Host", b"x"), (b"X-A", b"b c")]
    assert (found.get("HOST"), found["x-a"], "x-A" in found, "y" in found) == ("x", "b c", True, False)
    assert (found.get("y"), found.get("y", "z"), found.getall("host", []), found.getall("y", [])) == (
        "",
        "z",
        ["x"],
        [],
    )


def test_repeated_unwanted_and_too_many_fields_are_not_plain() -> None:
    assert read_fields(BLOCK + b"HOST: y\r\n", frozenset()) is None
    assert read_fields(BLOCK, frozenset({b"x-a"})) is None
    assert read_fields(b"".join(b"x%d: a\r\n" % number for number in range(MAX_FIELDS + 1)), frozenset()) is None
