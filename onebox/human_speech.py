"""Recordings of people from the package of the moonshine engine: used where they are, never copied."""

import importlib.util
from pathlib import Path
from typing import Final

PACKAGE: Final = "moonshine_voice"
TWO_CITIES: Final = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it "
    "was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of "
    "Darkness, it was the spring of hope, it was the winter of despair, we had everything before us, we had nothing "
    "before us, we were all going direct to Heaven, we were all going direct the other way. In short, the period was "
    "so far like the present period, that some of its noisiest authorities insisted on its being received, for good or "
    "for evil, in the superlative degree of comparison only."
)
BECKETT: Final = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."
# file → its true text
RECORDINGS: Final = {"two_cities.wav": TWO_CITIES, "beckett.wav": BECKETT}


def recording(name: str) -> Path | None:
    """Where the recording (a key of RECORDINGS) is; None if the package is not installed here."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (path := Path(folder) / "assets" / name).is_file():
            return path
    return None
