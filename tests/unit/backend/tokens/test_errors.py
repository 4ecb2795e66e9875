"""The refusals of tokens as the contract's errors."""

from backend.tokens.errors import ERRORS, CallerEnded, ForeignProject, MayNotTranscribe, ProjectNeeded


def test_each_refusal_has_its_status() -> None:
    assert {kind: error.status for kind, error in ERRORS.items()} == {
        ProjectNeeded: 400,
        ForeignProject: 404,
        MayNotTranscribe: 403,
        CallerEnded: 401,
    }
