"""Swear words are masked whole, letter by letter; words that merely contain one are not."""

import pytest

from stt_api.profanity import masked
from tests.unit.stt_api.test_numerals import said


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("Oh, shit.", "Oh, ****."),
        ("What the fuck's going on", "What the ****'* going on"),
        ("fucking bastards", "******* ********"),
        ("Bitches, motherfuckers.", "*******, *************."),
        ("shitty shitting wankers", "****** ******** *******"),
        ("Scunthorpe, cockpit, assistant, pussycat", "Scunthorpe, cockpit, assistant, pussycat"),
        ("A cocktail, a shiitake, a classic, a whorl", "A cocktail, a shiitake, a classic, a whorl"),
        ("whatever you shift", "whatever you shift"),
        ("", ""),
    ],
)
def test_a_swear_word_has_an_asterisk_for_each_letter(spoken: str, written: str) -> None:
    words = masked(said(spoken))
    assert " ".join(word.written for word in words) == written
    assert all(("*" in word.text) == ("*" in word.written) for word in words)
