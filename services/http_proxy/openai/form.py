"""A multipart form (RFC 7578) read as it passes: bytes in, the file's bytes out, the other fields kept. No I/O."""

import re
from email.message import Message
from enum import Enum, auto
from typing import Final

from aldea.errors import BadRequest

FILE: Final = "file"
# All other fields together, with their headers: a prompt is the longest of them.
MAX_FIELDS_BYTES: Final = 64 * 1024
MAX_PARTS: Final = 64
# One part's headers.
MAX_HEADERS_BYTES: Final = 8 * 1024
# RFC 2046 section 5.1.1.
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]", re.ASCII)


class State(Enum):
    """Where in the form the next byte is."""

    BODY = auto()  # in a part, or in what comes before the first one
    BOUNDARY = auto()  # behind a boundary: another part, or the end
    HEADERS = auto()
    END = auto()


class Form:
    """Feed it the body; `fields` are the values of each field by its name, but the file's."""

    def __init__(self, content_type: str) -> None:
        """`content_type`: the request's. Raises BadRequest if it is no form's."""
        self._delimiter = b"\r\n--" + boundary(content_type).encode()
        # The first boundary has no line before it.
        self._data = b"\r\n"
        self._state = State.BODY
        self._name: str | None = None
        self._parts = self._kept = 0
        self._value = bytearray()
        self.fields: dict[str, list[str]] = {}
        self.has_file = False

    @property
    def complete(self) -> bool:
        """Whether the form has come to its end."""
        return self._state is State.END

    def feed(self, data: bytes) -> bytes:
        """Take the next piece; what of the file is in it. Raises BadRequest."""
        self._data += data
        file: list[bytes] = []
        while self._step(file):
            pass
        return b"".join(file)

    def _step(self, file: list[bytes]) -> bool:
        """Whether there may be more to do with what has come."""
        match self._state:
            case State.BODY:
                return self._read_body(file)
            case State.BOUNDARY:
                return self._read_boundary()
            case State.HEADERS:
                return self._read_headers()
            case State.END:
                self._data = b""
                return False

    def _read_body(self, file: list[bytes]) -> bool:
        at = self._data.find(self._delimiter)
        # The end may be the beginning of a boundary.
        cut = at if at >= 0 else max(0, len(self._data) - len(self._delimiter) + 1)
        if cut and self._name == FILE:
            file.append(self._data[:cut])
        elif cut and self._name is not None:
            self._keep(cut)
            self._value += self._data[:cut]
        if at < 0:
            self._data = self._data[cut:]
            return False
        if self._name is not None and self._name != FILE:
            self.fields.setdefault(self._name, []).append(self._value.decode("utf-8", "replace"))
            self._value.clear()
        self._name = None
        self._data = self._data[at + len(self._delimiter) :]
        self._state = State.BOUNDARY
        return True

    def _read_boundary(self) -> bool:
        if self._data.startswith(b"--"):
            self._state = State.END
            return True
        end = self._data.find(b"\r\n")
        if end < 0:
            if len(self._data) > MAX_HEADERS_BYTES:
                raise _unreadable("a boundary has no end of line")
            return False
        if self._data[:end].strip(b" \t"):
            raise _unreadable("a boundary is longer than the Content-Type says")
        # The line's end stays: headers that are not there end with it.
        self._data = self._data[end:]
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _unreadable(f"it has more than {MAX_PARTS} parts")
        self._state = State.HEADERS
        return True

    def _read_headers(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            if len(self._data) > MAX_HEADERS_BYTES:
                raise _unreadable(f"a part's headers are longer than {MAX_HEADERS_BYTES} bytes")
            return False
        self._keep(end)
        self._name = _name(self._data[:end])
        if self._name == FILE:
            if self.has_file:
                raise BadRequest("file: got two of them; send one recording at a time.")
            self.has_file = True
        # The end of the line before a boundary may be the one behind the headers: of an empty part.
        self._data = self._data[end + 2 :] if self._data.startswith(self._delimiter, end + 2) else self._data[end + 4 :]
        self._state = State.BODY
        return True

    def _keep(self, size: int) -> None:
        self._kept += size
        if self._kept > MAX_FIELDS_BYTES:
            raise BadRequest(
                f"The form's fields beside its file are larger than {MAX_FIELDS_BYTES} bytes. Send a shorter prompt, "
                "and the audio in the field 'file'."
            )


def boundary(content_type: str) -> str:
    """The boundary that a Content-Type names. Raises BadRequest."""
    message = Message()
    message["Content-Type"] = content_type.replace("\r", " ").replace("\n", " ")
    if message.get_content_type() != "multipart/form-data":
        raise BadRequest(
            f"Content-Type: got {content_type!r:.60}; allowed: multipart/form-data with the audio in the field 'file'."
        )
    found = message.get_param("boundary")
    if not isinstance(found, str) or _BOUNDARY.fullmatch(found) is None:
        raise BadRequest("Content-Type: has no boundary that RFC 2046 allows. Let your HTTP library write it.")
    return found


def _name(headers: bytes) -> str:
    for line in headers.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            message = Message()
            message["Content-Disposition"] = value.decode("utf-8", "replace")
            found = message.get_param("name", header="Content-Disposition")
            if isinstance(found, str):
                return found
    raise _unreadable("a part has no name")


def _unreadable(reason: str) -> BadRequest:
    return BadRequest(f"The form cannot be read: {reason}. Send it as RFC 7578 says.")
