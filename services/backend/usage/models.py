"""Requests and responses of the usage endpoints: the public management API's shapes, with exact milliseconds beside."""

from datetime import date, datetime
from typing import Annotated, Final, Literal, Self, TypeAlias
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import TypedDict  # pydantic's own wish below Python 3.12

from backend.api.endpoint import Query, ResponseModel
from backend.api.faults import NO_NUL
from backend.usage.feature_filters import FeatureQuery
from backend.usage.filters import Outcome
from backend.usage.period import Day, FirstDay, LastDay, Moment

Service = Literal["streaming", "prerecorded"]
Method = Literal["streaming", "sync", "async"]
Deployment = Literal["hosted", "beta", "self-hosted", "dedicated"]
State = Literal["open", "incomplete", "final"]
# "listen", as the public API has it, is every address with that word; what is behind it is not offered here.
EndpointName = Literal[
    "/v1/listen", "/v1/listen/pcm", "/v2/listen", "/v1/realtime", "/v1/audio/transcriptions", "/transcribe", "other",
    "listen", "read", "speak", "agent",
]  # fmt: skip
# "tags" is the public API's word for "tag".
Grouping = Literal[
    "day", "accessor", "endpoint", "tag", "service", "tags", "method", "models", "feature_set", "deployment"
]
Tag: TypeAlias = Annotated[str, Field(min_length=1, max_length=512, pattern=NO_NUL)]

MAX_LIMIT = 1000
MAX_PAGE = 1_000_000
# No request lasts as long: a year.
MAX_SECONDS: Final = 366 * 86_400


class FilterQuery(FeatureQuery):
    """By what usage can be narrowed down.

    Anything else is refused: a filter that is not understood and so not applied would show wrong figures.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: UUID | None = Field(None, description="Only what this API key did")
    accessor: UUID | None = Field(None, description="The same, by the public API's name")
    tag: Tag | None = Field(None, description="Only requests that carry this tag")
    endpoint: EndpointName | None = Field(
        None, description="Only this endpoint; of read, speak and agent, which are not offered here, there is no usage"
    )
    service: Service | None = Field(None, description="Only live streams, or only recorded audio")
    method: Method | None = Field(
        None, description="Only live streams, recorded audio with its response (sync), or with a callback (async)"
    )
    model: Tag | None = Field(None, description="Only requests of this model: its name as requested, or its model_id")
    deployment: Deployment | None = Field(None, description="Everything here is hosted; of others there is no usage")
    sentiment_threshold: float | None = Field(None, description="Not offered here; changes nothing")

    @model_validator(mode="after")
    def _says_nothing_twice(self) -> Self:
        for one, other in (("key", "accessor"), ("service", "method")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"one of {one} and {other}, which mean the same")
        return self


class SearchQuery(FilterQuery):
    """By what single requests can be found."""

    status: Outcome | None = Field(
        None,
        description="failed: a status of 400 or more, or a stream that was closed for an error; incomplete: its proxy "
        "was lost; open: it still runs",
    )
    request_id: UUID | None = Field(None, description="Only this request")
    min_audio_seconds: float | None = Field(
        None, ge=0, le=MAX_SECONDS, description="Only requests with at least so much billed audio"
    )
    max_audio_seconds: float | None = Field(
        None, ge=0, le=MAX_SECONDS, description="Only requests with at most so much billed audio"
    )

    @model_validator(mode="after")
    def _least_is_below_most(self) -> Self:
        least, most = self.min_audio_seconds, self.max_audio_seconds
        if least is not None and most is not None and least > most:
            raise ValueError("a min_audio_seconds that is not above max_audio_seconds")
        return self


class RequestsQuery(SearchQuery):
    """Which requests to list."""

    start: Moment = Field(None, description="From this day or time on; 30 days before the end by default")
    end: Moment = Field(
        None, description="Until this day (included) or time (not included); the end of today by default"
    )
    running: bool = Field(
        False, description="true: also requests that still run, whose response is null; so with status=open"
    )
    page: int = Field(
        0, ge=0, le=MAX_PAGE, description="Which page, from 0; it shifts when requests arrive, page_token does not"
    )
    limit: int = Field(10, ge=1, le=MAX_LIMIT, description="Requests on a page")
    page_token: str | None = Field(
        None, max_length=128, description="The next_page_token of the page before; brings its period with it"
    )


class DaysQuery(FilterQuery):
    """Which days to sum up; days are UTC days."""

    start: FirstDay = Field(None, description="The first day, or a time on it; 30 days up to the last by default")
    end: LastDay = Field(
        None, description="The last day, included whole, or a time until which it is; today by default"
    )


class BreakdownQuery(DaysQuery):
    """Which days to sum up, and into which groups."""

    grouping: list[Grouping] = Field(
        ["day"],
        min_length=1,
        max_length=4,
        description="What a group has in common. Repeat it for finer groups (day and accessor: each key's days)",
    )


class RequestsExportQuery(SearchQuery):
    """Which days' requests to export."""

    start: Day | None = Field(None, description="The first day; 30 days up to the last by default")
    end: Day | None = Field(None, description="The last day, included; today by default")


class ExportQuery(RequestsExportQuery):
    """Which days to export, and whether as requests or as days."""

    by: Literal["request", "day"] = Field("request", description="A line for each request, or for each day")


class PeriodQuery(Query):
    """Which days to look at; days are UTC days."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: FirstDay = Field(None, description="The first day, or a time on it; 30 days up to the last by default")
    end: LastDay = Field(
        None, description="The last day, included whole, or a time until which it is; today by default"
    )


class DayQuery(Query):
    """Which day to check."""

    day: Day = Field(description="The UTC day")


class RequestConfig(ResponseModel):
    """What the request named in its query. `model`: null for none; a feature is true if it was used."""

    model: str | None
    diarize: bool
    interim_results: bool
    multichannel: bool
    numerals: bool
    profanity_filter: bool
    punctuate: bool
    smart_format: bool
    utterances: bool


class RequestDetails(ResponseModel):
    """What was transcribed. Seconds of audio; `total_audio` counts every channel, as the bill does.

    `models`: the id of the model that recognized it. `usd`: what that is charged, as `charge_micros` has it exactly.
    """

    usd: float
    duration: float
    total_audio: float
    channels: int
    streams: Literal[1] = 1
    models: list[str]
    method: Method
    tags: list[str]
    features: list[str]
    config: RequestConfig


class RequestOutcome(ResponseModel):
    """What became of a request that has ended. `code`: the HTTP status; 0: its proxy was lost before it had one."""

    code: int
    completed: datetime
    details: RequestDetails
    token_details: list[str] = Field([], max_length=0, description="Tokens are not counted here: always empty")


class Request(ResponseModel):
    """One request for transcription.

    `response`: null while it runs. `duration`: seconds of audio. `audio_ms` is what is billed: the audio's duration
    times its channels. `code`: the HTTP status that the client got (101 for a live stream), null while it is not
    known. `close_code`: the WebSocket close code sent to the client, null while the stream is open and for recorded
    audio. `state`: `open` requests may still grow, `incomplete` ones lost their proxy and are as it last reported
    them, `final` ones have ended.
    `charge_micros`: what it is charged in micro-dollars, its audio at the price that was in force when it began
    (`price_id`), rounded half up. `failovers`: how often another STT server took the stream over.
    `first_word_ms`: from a live stream's first audio to its first words; null without any, and for recorded audio.
    """

    request_id: str
    project_uuid: str
    created: datetime
    path: str
    api_key_id: str
    accessor: str
    method: Method
    duration: float
    response: RequestOutcome | None
    code: int | None
    deployment: Literal["hosted"] = "hosted"
    callback: str | None = None
    endpoint: str
    service: Service
    lane: str
    state: State
    audio_ms: int
    audio_seconds: float
    channels: int
    connection_seconds: float
    bytes_in: int
    bytes_out: int
    price_id: int | None
    charge_micros: int
    close_code: int | None
    failovers: int
    first_word_ms: int | None
    tags: list[str]


class RequestList(ResponseModel):
    """A page of requests, newest first. `next_page_token`: for the next page; null: this was the last."""

    page: int
    limit: int
    requests: list[Request]
    next_page_token: str | None


class RequestItem(Request):
    """One request, twice: some of the public API's clients read it from `request`, others from the top."""

    request: Request


class Resolution(ResponseModel):
    """Over how much time each of the results counts."""

    units: Literal["day"] = "day"
    amount: int


class Amounts(ResponseModel):
    """Usage. Hours of audio, every channel counted; `audio_ms` is the same to the millisecond.

    `charge_micros`: the sum of the requests' charges, in micro-dollars.
    """

    hours: float
    total_hours: float
    requests: int
    audio_ms: int
    charge_micros: int


class Tokens(TypedDict("_Tokens", {"in": int, "out": int})):
    """Tokens of language models, which are not offered here: always 0."""


class Synthesized(TypedDict):
    """Synthesized speech, which is not offered here: always 0."""

    characters: int
    requests: int


NO_TOKENS: Final = Tokens({"in": 0, "out": 0})
NO_SPEECH: Final = Synthesized(characters=0, requests=0)


class ResultAmounts(Amounts):
    """Usage, with what the public API counts beside audio."""

    tokens: Tokens = NO_TOKENS
    tts: Synthesized = NO_SPEECH


class DayUsage(ResultAmounts):
    """Usage of one day, or of a period: `start` and `end` are its first and last day."""

    start: date
    end: date


class Usage(ResponseModel):
    """Usage by day, days without any included."""

    start: date
    end: date
    resolution: Resolution
    results: list[DayUsage]
    total: Amounts


class Group(ResponseModel):
    """What the requests of a group have in common; null: not grouped by it. `accessor` is an API key's id.

    A request counts in the group of each of its tags, and in the group of no tags if it has none. `models`: the name
    that was requested, if any. `feature_set`: the features that were used, with commas between.
    """

    start: date
    end: date
    accessor: str | None = None
    endpoint: str | None = None
    service: Service | None = None
    method: Method | None = None
    tags: list[str] | None = None
    deployment: str | None = None
    feature_set: str | None = None
    models: list[str] | None = None


class GroupUsage(ResultAmounts):
    """Usage of one group. Agents, tokens and synthesis are not offered here, so their figures are always 0."""

    agent_hours: float = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tts_characters: int = 0
    grouping: Group


class Breakdown(ResponseModel):
    """Usage by group; groups without any are not listed. `total` counts every request once."""

    start: date
    end: date
    resolution: Resolution
    results: list[GroupUsage]
    total: Amounts


class FromRequests(ResponseModel):
    """What the single requests of a day add up to."""

    requests: int
    audio_ms: int
    charge_micros: int


class Reconciliation(ResponseModel):
    """A day's total, as it is billed, beside the sum of its requests.

    `agrees`: they are equal, to the millisecond and to the millionth of a dollar.
    """

    day: date
    requests: int
    audio_ms: int
    charge_micros: int
    from_requests: FromRequests
    agrees: bool


class Balance(ResponseModel):
    """What is left of a project's credit: all credits less all spend. Below zero it is owed.

    The amounts in micro-dollars (millionths) are exact: `amount_micros` is `credit_micros` less `spent_micros`, which
    is the sum of all requests' charges. `purchase_order_id`: the newest credit's id, as purchases list it; the
    project's own id if there is none.
    """

    balance_id: str
    amount: float
    units: Literal["usd"] = "usd"
    purchase_order_id: str
    amount_micros: int
    credit_micros: int
    spent_micros: int
    audio_ms: int


class BalanceList(ResponseModel):
    """A project's balances: one, whose id is the project's."""

    balances: list[Balance]


class Spend(ResponseModel):
    """What a period costs. `amount_micros`: in millionths of a dollar, the sum of its requests' charges.

    `price_per_hour`: the present price of an hour of live audio; the price book (`/prices`) has all.
    """

    start: date
    end: date
    amount: float
    units: Literal["usd"] = "usd"
    price_per_hour: float
    amount_micros: int
    audio_ms: int
