"""The C interface of Moonshine's library, as far as it is used: a model is loaded, audio becomes text.

The package's own Python is left out: it copies audio sample by sample, and loads what fetches models from the network.
"""

import ctypes
import os
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# The version of the interface that these declarations follow; the library refuses one that it does not know.
INTERFACE_VERSION: Final = 20_000
# One recognition process has one core: a second thread would only take it from the other processes.
_ONE_THREAD: Final = "MOONSHINE_ORT_SINGLE_THREAD"
# Without the library's own voice detection: what it gets is one utterance, found by the detection of this server.
_OPTIONS: Final = {b"vad_threshold": b"0"}


class _Option(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("value", ctypes.c_char_p))


class _Line(ctypes.Structure):
    # Only the text is read; the rest says where the next line is.
    _fields_ = (
        ("text", ctypes.c_char_p),
        ("audio", ctypes.c_void_p),
        ("audio_count", ctypes.c_size_t),
        ("start_time", ctypes.c_float),
        ("duration", ctypes.c_float),
        ("id", ctypes.c_uint64),
        ("flags", ctypes.c_int8 * 5),
        ("speaker_spans", ctypes.c_void_p),
        ("speaker_span_count", ctypes.c_uint64),
        ("latency_ms", ctypes.c_uint32),
        ("words", ctypes.c_void_p),
        ("word_count", ctypes.c_uint64),
    )


class _Transcript(ctypes.Structure):
    _fields_ = (("lines", ctypes.POINTER(_Line)), ("line_count", ctypes.c_uint64))


class LibraryFailed(Exception):
    """The library refused or failed; the text is its own."""


class Library:
    """A loaded model. Calls hold the calling thread, not the interpreter."""

    def __init__(self, package: Path, model: Path, shape: int) -> None:
        """`package`: the folder with the library; `shape`: of the model, see stt_api.model. Raises LibraryFailed."""
        os.environ[_ONE_THREAD] = "1"
        self._library: Any = ctypes.CDLL(str(package / "libmoonshine.so"))
        self._library.moonshine_error_to_string.restype = ctypes.c_char_p
        options = (_Option * len(_OPTIONS))(*(_Option(name, value) for name, value in _OPTIONS.items()))
        self._handle: int = self._checked(
            self._library.moonshine_load_transcriber_from_files(
                os.fsencode(model),
                ctypes.c_uint32(shape),
                options,
                ctypes.c_uint64(len(_OPTIONS)),
                ctypes.c_int32(INTERFACE_VERSION),
            )
        )

    def transcribe(self, samples: NDArray[np.float32], rate: int) -> str:
        """The text of one utterance: samples from -1 to 1 at `rate` Hz. Raises LibraryFailed."""
        found = ctypes.POINTER(_Transcript)()
        samples = np.ascontiguousarray(samples, dtype=np.float32)
        self._checked(
            self._library.moonshine_transcribe_without_streaming(
                ctypes.c_int32(self._handle),
                samples.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
                ctypes.c_uint64(len(samples)),
                ctypes.c_int32(rate),
                ctypes.c_uint32(0),
                ctypes.byref(found),
            )
        )
        if not found:
            return ""
        # The transcript is the library's, and is valid until the next call.
        lines = [found.contents.lines[index].text for index in range(found.contents.line_count)]
        return " ".join(line.decode("utf-8", "replace") for line in lines if line)

    def _checked(self, result: int) -> int:
        if result < 0:
            text = self._library.moonshine_error_to_string(ctypes.c_int32(result)) or b"unknown error"
            raise LibraryFailed(f"moonshine: {text.decode(errors='replace')} ({result})")
        return result
