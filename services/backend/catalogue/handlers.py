"""The endpoints of models, and of the names that usage and bills can be narrowed down to."""

from datetime import UTC, datetime
from typing import Final

from aldea import speech_model
from aldea.errors import NotFound
from backend.api.access import AnyCaller, InProject
from backend.api.endpoint import Call, Endpoint
from backend.catalogue import models
from backend.usage.errors import ERRORS, PeriodUnusable
from backend.usage.models import PeriodQuery
from backend.usage.service import USAGE

LINE_ITEMS: Final[dict[models.LineItem, str]] = {"streaming": "Live streams", "prerecorded": "Recorded audio"}
_LANGUAGES: Final = {"en": "English", "en-US": "English (United States)"}
_MODEL: Final = models.SpeechModel(
    name=speech_model.NAME,
    canonical_name=speech_model.NAME,
    architecture=speech_model.ARCHITECTURE,
    languages=list(speech_model.LANGUAGES),
    version=speech_model.VERSION,
    uuid=speech_model.UUID,
    batch=True,
    streaming=True,
    formatted_output=True,
    language=speech_model.LANGUAGES[0],
)
_MODELS: Final = models.ModelList(
    stt=[models.ListedModel.model_validate(_MODEL.model_dump(exclude={"language"}))], tts=[], languages=_LANGUAGES
)
_OF_OPENAI: Final = models.OpenAiModel(
    id=speech_model.NAME, created=int(datetime(2026, 11, 30, tzinfo=UTC).timestamp()), owned_by="aldea"
)
_ANY_MODELS: Final = models.AnyModelList(**dict(_MODELS), data=[_OF_OPENAI])
_ANY_MODEL: Final = models.AnyModel(**dict(_MODEL), **dict(_OF_OPENAI))


async def list_models(_call: Call) -> models.AnyModelList:
    """The models that speech can be recognized with."""
    return _ANY_MODELS


async def get_model(call: Call) -> models.AnyModel:
    """One model, by its `uuid` or its name."""
    _check(call.parameters["model"].lower())
    return _ANY_MODEL


async def list_project_models(_call: Call) -> models.ModelList:
    """The models that a project can use: all."""
    return _MODELS


async def get_project_model(call: Call) -> models.SpeechModel:
    """One of the models that a project can use."""
    _check(call.parameters["model_id"])
    return _MODEL


def _check(model: str) -> None:
    if model not in {speech_model.UUID, speech_model.NAME}:
        raise NotFound(
            f"No such model: {model!r:.60}. The list of models shows their names, and their ids as uuid. "
            "To transcribe, any name is taken."
        )


async def list_usage_fields(call: Call) -> models.UsageFields:
    """What the usage of a period can be narrowed down to."""
    query: PeriodQuery = call.query
    period = call.app[USAGE].period(query.start, query.end)
    names = await call.app[USAGE].names_used(call.project_id, period)
    used = models.UsedModel(
        name=_MODEL.name, language=_MODEL.language, version=_MODEL.version, model_id=speech_model.UUID
    )
    return models.UsageFields(
        tags=names.tags,
        models=[used],
        processing_methods=["sync", "async", "streaming"],
        features=names.features,
        languages=list(speech_model.LANGUAGES),
    )


async def list_billing_fields(call: Call) -> models.BillingFields:
    """What the bill of a period can be narrowed down to."""
    query: PeriodQuery = call.query
    period = call.app[USAGE].period(query.start, query.end)
    names = await call.app[USAGE].names_used(call.project_id, period)
    return models.BillingFields(
        accessors=names.keys,
        deployments=["hosted"],
        tags=names.tags,
        line_items={name: text for name, text in LINE_ITEMS.items() if name in names.services},
    )


_TAG: Final = "Models"
_PROJECT: Final = "/v1/projects/{project_id}"
ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/v1/models", handler=list_models, access=AnyCaller(), tag=_TAG, errors=ERRORS,
        summary="List models", query=models.ModelsQuery, response=models.AnyModelList,
    ),
    Endpoint(
        method="GET", path="/v1/models/{model}", handler=get_model, access=AnyCaller(), tag=_TAG, errors=ERRORS,
        summary="Get a model", response=models.AnyModel,
    ),
    Endpoint(
        method="GET", path=_PROJECT + "/models", handler=list_project_models, access=InProject("project:read"),
        tag=_TAG, errors=ERRORS, summary="List a project's models", query=models.ModelsQuery,
        response=models.ModelList,
    ),
    Endpoint(
        method="GET", path=_PROJECT + "/models/{model_id}", handler=get_project_model,
        access=InProject("project:read"), tag=_TAG, errors=ERRORS, summary="Get a project's model",
        response=models.SpeechModel,
    ),
    Endpoint(
        method="GET", path=_PROJECT + "/usage/fields", handler=list_usage_fields, access=InProject("usage:read"),
        tag="Usage", errors=ERRORS, summary="List what usage can be narrowed down to", query=PeriodQuery,
        response=models.UsageFields, raises=(PeriodUnusable,),
    ),
    Endpoint(
        method="GET", path=_PROJECT + "/billing/fields", handler=list_billing_fields,
        access=InProject("billing:read"), tag="Billing", errors=ERRORS,
        summary="List what bills can be narrowed down to", query=PeriodQuery, response=models.BillingFields,
        raises=(PeriodUnusable,),
    ),
)  # fmt: skip
