"""The public API's filters by feature: a query's names of what a request used or did not."""

from typing import Annotated, TypeAlias

from pydantic import Field

from backend.api.endpoint import Query

Used: TypeAlias = Annotated[
    bool | None,
    Field(description="true: requests that used this, or another feature that is true; false: those that did not"),
]


class FeatureQuery(Query):
    """A field for each of `aldea.usage.features.FEATURES`."""

    alternatives: Used = None
    analyze_sentiment: Used = None
    callback: Used = None
    callback_method: Used = None
    channels: Used = None
    custom_intent: Used = None
    custom_intent_mode: Used = None
    custom_topic: Used = None
    custom_topic_mode: Used = None
    detect_entities: Used = None
    detect_language: Used = None
    detect_topics: Used = None
    diarize: Used = None
    dictation: Used = None
    encoding: Used = None
    extra: Used = None
    filler_words: Used = None
    intents: Used = None
    interim_results: Used = None
    keyterm: Used = None
    keywords: Used = None
    language: Used = None
    measurements: Used = None
    multichannel: Used = None
    ner: Used = None
    numbers: Used = None
    numerals: Used = None
    paragraphs: Used = None
    profanity_filter: Used = None
    punctuate: Used = None
    redact: Used = None
    replace: Used = None
    sample_rate: Used = None
    search: Used = None
    sentiment: Used = None
    smart_format: Used = None
    summarize: Used = None
    topics: Used = None
    translate: Used = None
    utt_split: Used = None
    utterances: Used = None
    version: Used = None

    def used(self, wanted: bool) -> tuple[str, ...]:
        """The features that the query sets to this."""
        return tuple(name for name in FeatureQuery.model_fields if getattr(self, name) is wanted)
