"""Requests and responses of the catalogue's endpoints, in the public management API's shapes."""

from typing import Literal, TypeAlias

from pydantic import ConfigDict, Field

from backend.api.endpoint import Query, ResponseModel
from backend.usage.models import Deployment, Method


class ModelsQuery(Query):
    """Which models to list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    include_outdated: bool = Field(False, description="true: also outdated versions; here there are none")


class ListedModel(ResponseModel):
    """A model that speech can be recognized with. `formatted_output`: whether it can write punctuation and capitals."""

    name: str
    canonical_name: str
    architecture: str
    languages: list[str]
    version: str
    uuid: str
    batch: bool
    streaming: bool
    formatted_output: bool


class SpeechModel(ListedModel):
    """One model. `language`: the first of its languages."""

    language: str


class OpenAiModel(ResponseModel):
    """A model as OpenAI's SDKs read it. `created`: since when it is offered, seconds of Unix time."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class AnyModel(SpeechModel, OpenAiModel):
    """One model, in the shapes of both APIs whose clients call this address."""


class ModelList(ResponseModel):
    """The models. `tts`: none, since speech is not synthesized here. `languages`: their names by their codes."""

    stt: list[ListedModel]
    tts: list[ListedModel] = Field([], max_length=0)
    languages: dict[str, str]


class AnyModelList(ModelList):
    """The models, in the shapes of both APIs whose clients call this address: OpenAI's read `object` and `data`."""

    object: Literal["list"] = "list"
    data: list[OpenAiModel]


class UsedModel(ResponseModel):
    """A model that requests are recognized with."""

    name: str
    language: str
    version: str
    model_id: str


class UsageFields(ResponseModel):
    """What usage can be narrowed down to. `tags`, `features`: those of the period's requests, 1,000 at most."""

    tags: list[str]
    models: list[UsedModel]
    processing_methods: list[Method]
    features: list[str]
    languages: list[str]


LineItem: TypeAlias = Literal["streaming", "prerecorded"]


class BillingFields(ResponseModel):
    """What bills can be narrowed down to: the period's API keys, tags and line items, these with their descriptions."""

    accessors: list[str]
    deployments: list[Deployment]
    tags: list[str]
    line_items: dict[LineItem, str]
