"""What a caller of `/v2/listen` requests in the query string, checked."""

from dataclasses import dataclass, replace
from typing import Any, Final

from multidict import MultiMapping

from aldea.errors import BadRequest
from stt_api import query as listen_query
from stt_api.features import warnings
from stt_api.model import Model
from stt_api.options import ListenOptions
from stt_api.turn_based.thresholds import NAMES, Thresholds
from stt_api.wording import Wording

# Words are final after this much silence (ms): the least that any threshold stands for (`turns.confidence`).
ENDPOINTING_MS: Final = 300
_MODELS: Final = "flux-"
_AUDIO: Final = ("encoding", "sample_rate")
EFFECTIVE: Final = frozenset({*NAMES, *_AUDIO, "numerals", "profanity_filter", "tag", "mip_opt_out", "extra"})


@dataclass(frozen=True, slots=True)
class TurnQuery:
    """`warnings`: what was requested and has no effect here, as `stt_api.features` has it."""

    options: ListenOptions
    thresholds: Thresholds
    keyterms: tuple[str, ...]
    wording: Wording
    warnings: tuple[dict[str, Any], ...]


def parse(query: MultiMapping[str], model: Model) -> TurnQuery:
    """Read a query string. Raises BadRequest, naming the parameter."""
    wanted = query.get("model", "").strip()
    if not wanted.lower().startswith(_MODELS):
        raise BadRequest(
            f"model: got {wanted!r:.40}, allowed: a name that begins with {_MODELS}, as flux-general-en. "
            "Other models are at /v1/listen."
        )
    try:
        thresholds = Thresholds().changed({name: query[name] for name in NAMES if name in query})
    except ValueError as error:
        raise BadRequest(str(error)) from None
    options = listen_query.parse({name: query[name] for name in _AUDIO if name in query})
    return TurnQuery(
        replace(options, interim_results=True, punctuate=True, progress=True, endpointing_ms=ENDPOINTING_MS),
        thresholds,
        tuple(query.getall("keyterm", [])),
        Wording(digits=listen_query.flag(query, "numerals"), masked=listen_query.flag(query, "profanity_filter")),
        tuple(warnings(query, model, effective=EFFECTIVE)),
    )
