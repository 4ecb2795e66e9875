import re
from pathlib import Path

from frontend.notices import NOTICES

FRONTEND = Path(__file__).resolve().parents[3] / "services" / "frontend"


def test_every_notice_that_a_page_leaves_has_its_sentence_and_none_is_unused() -> None:
    source = "\n".join(path.read_text() for path in [*FRONTEND.glob("pages/*.py"), FRONTEND / "failures.py"])
    used = {code for code in NOTICES if f'"{code}"' in source}
    assert used == set(NOTICES)
    assert set(re.findall(r'notice="([a-z-]+)"', source)) <= set(NOTICES)


def test_codes_fit_into_a_cookie_and_sentences_end() -> None:
    for code, sentence in NOTICES.items():
        assert re.fullmatch(r"[a-z-]{1,40}", code)
        assert sentence.endswith(".")
