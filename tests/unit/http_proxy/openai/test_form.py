"""A form read as it passes, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldea.errors import BadRequest
from http_proxy.openai.form import MAX_FIELDS_BYTES, MAX_HEADERS_BYTES, MAX_PARTS, Form, boundary

TYPE = "multipart/form-data; boundary=xyz"
AUDIO = bytes(range(256)) * 3 + b"\r\n--xy\r\n-\r\n--"


def part(name: str, value: bytes, extra: str = "") -> bytes:
    return f'--xyz\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'.encode() + value + b"\r\n"


FILE = part("file", AUDIO, '; filename="a.wav"\r\nContent-Type: audio/wav')
END = b"--xyz--\r\n"


def read(body: bytes, *sizes: int) -> tuple[bytes, Form]:
    form, file, at = Form(TYPE), b"", 0
    for size in sizes:
        file += form.feed(body[at : at + size])
        at += size
    return file + form.feed(body[at:]), form


@given(st.lists(st.integers(1, 40), max_size=40))
def test_the_file_comes_out_as_it_went_in_however_it_is_cut(sizes: list[int]) -> None:
    body = b"preamble\r\n" + part("model", b"whisper-1") + FILE + part("prompt", "é".encode()) + part("a", b"") + END
    file, form = read(body, *sizes)
    assert file == AUDIO
    assert form.fields == {"model": ["whisper-1"], "prompt": ["é"], "a": [""]}
    assert form.complete
    assert form.has_file


def test_a_field_may_be_repeated_and_a_file_may_be_missing() -> None:
    _, form = read(part("timestamp_granularities[]", b"word") + part("timestamp_granularities[]", b"segment") + END)
    assert form.fields == {"timestamp_granularities[]": ["word", "segment"]}
    assert form.complete
    assert not form.has_file


def test_a_form_that_is_cut_is_not_complete() -> None:
    assert not read(FILE)[1].complete
    assert not read((FILE + END)[:-4])[1].complete


@pytest.mark.parametrize(
    "body",
    [
        FILE + FILE + END,
        part("prompt", b"x" * (MAX_FIELDS_BYTES + 1)),
        b"--xyz\r\nX: " + b"x" * (MAX_HEADERS_BYTES + 9),
        b"--xyz" + b" " * (MAX_HEADERS_BYTES + 9),
        b"--xyzz\r\n\r\n",
        b"--xyz\r\n\r\nno name\r\n" + END,
        b"--xyz\r\nContent-Disposition: form-data\r\n\r\nno name\r\n" + END,
        part("a", b"") * (MAX_PARTS + 1),
    ],
)
def test_what_is_no_form_or_too_much_of_one_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body, *[4096] * 64)


@pytest.mark.parametrize(
    "content_type",
    ["", "audio/wav", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=a",
     "multipart/form-data; boundary=" + "a" * 71, 'multipart/form-data; boundary="a@b"'],
)  # fmt: skip
def test_a_content_type_without_a_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(BadRequest):
        boundary(content_type)


def test_a_boundary_may_be_quoted() -> None:
    assert boundary('Multipart/Form-Data; charset=utf-8; boundary="a b:c"') == "a b:c"
