"""The catalogue's endpoints: one table of them, and line items that are services."""

import uuid
from typing import get_args

import pytest
from aiohttp.test_utils import make_mocked_request
from deepgram.types import ListModelsV1Response
from openai.types import Model as OpenAiModel
from pydantic import BaseModel

from aldea import speech_model
from aldea.errors import NotFound
from backend.api.access import AnyCaller
from backend.api.endpoint import Call
from backend.catalogue.handlers import ENDPOINTS, LINE_ITEMS
from backend.catalogue.models import AnyModelList
from backend.usage.models import Service


def test_every_line_item_is_a_service_with_a_description() -> None:
    assert set(LINE_ITEMS) == set(get_args(Service))
    assert all(LINE_ITEMS.values())


async def test_both_apis_sdks_read_the_models_whichever_name_they_use() -> None:
    handlers = {endpoint.path: endpoint.handler for endpoint in ENDPOINTS}
    listed = await handlers["/v1/models"](call({}))
    assert isinstance(listed, AnyModelList)
    [theirs] = ListModelsV1Response.model_validate(listed.model_dump()).stt or []
    [openais] = [OpenAiModel.model_validate(one.model_dump(), strict=True) for one in listed.data]
    assert (theirs.name, theirs.uuid_, listed.object) == (openais.id, speech_model.UUID, "list")
    for name in (openais.id, openais.id.upper(), speech_model.UUID, speech_model.UUID.upper()):
        model = await handlers["/v1/models/{model}"](call({"model": name}))
        assert isinstance(model, BaseModel)
        assert (
            OpenAiModel.model_validate(model.model_dump(include=set(OpenAiModel.model_fields)), strict=True) == openais
        )
        assert model.model_dump()["uuid"] == theirs.uuid_
    for name in ("whisper-1", "", str(uuid.uuid4()), "x" * 5000):
        with pytest.raises(NotFound, match="any name is taken"):
            await handlers["/v1/models/{model}"](call({"model": name}))


def call(parameters: dict[str, str]) -> Call:
    request = make_mocked_request("GET", "/")
    return Call(request=request, access=AnyCaller(), found_caller=None, parameters=parameters, body=None, query=None)


def test_nothing_here_changes_anything() -> None:
    assert {endpoint.method for endpoint in ENDPOINTS} == {"GET"}
