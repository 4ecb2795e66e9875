"""The model of the management API is the one that the STT server names on the wire."""

from uuid import UUID

import pytest

from aldea import speech_model
from stt_api.model import MOONSHINE, chosen, package_folder


def test_its_id_is_a_uuid() -> None:
    assert str(UUID(speech_model.UUID)) == speech_model.UUID


@pytest.mark.skipif(package_folder(MOONSHINE) is None, reason="the engine does not install on this machine")
def test_it_is_the_one_that_is_chosen_by_default() -> None:
    model = chosen()
    assert (model.uuid, model.name) == (speech_model.UUID, speech_model.NAME)
    assert model.info == {
        "name": speech_model.NAME,
        "version": speech_model.VERSION,
        "arch": speech_model.ARCHITECTURE,
    }
