from backend.credits.models import Credits
from backend.credits.service import SHOWN


def test_the_document_says_how_many_credits_are_shown() -> None:
    assert f"the newest {SHOWN} of them" in (Credits.__doc__ or "")
