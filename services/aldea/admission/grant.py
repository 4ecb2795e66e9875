"""Grant: the outcome of admission that a request carries until its end; Verdict: whether it may go on."""

from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from aldea.tracing.trace import Trace
from aldea.usage.reading import MAX_TAGS, AudioSource, Rank, Service, UsageReading, quoted, trace_member


@dataclass(unsafe_hash=True, slots=True, kw_only=True)  # frozen ones take several times as long to make
class Grant:
    """What was fixed when a request was admitted. Every reading of it repeats this unchanged.

    `authority_sha256`: the credential whose revocation or expiry ends the request; for a short-lived token the key or
    session that granted it, else the credential itself (an empty text means the latter). `offline`: admitted from
    memory while Redis was unavailable. `micros_per_hour`: its price, fixed here, which `account_id` (an empty text:
    none is known) is charged in Redis; 0: it is charged in PostgreSQL alone. `counted`: the ids under which it counts
    besides its project's, as admit.lua and the last renewal named them. `rate_limits`: for the headers of its response
    (aldea.admission.rate_limits). `trace`: the request's, None if it has none.
    """

    request_id: str
    started_ms: int
    project_id: str
    key_id: str
    credential_sha256: str
    service: Service
    lane: str
    path: str
    tags: tuple[str, ...] = ()
    offline: bool = False
    authority_sha256: str = ""
    model: str = ""
    features: tuple[str, ...] = ()
    account_id: str = ""
    micros_per_hour: int = 0
    counted: str = field(default="", compare=False)
    rate_limits: str = field(default="", compare=False)
    trace: Trace | None = field(default=None, compare=False)

    @property
    def authority(self) -> str:
        """The hex SHA-256 of the credential that has to stay good while the request runs."""
        return self.authority_sha256 or self.credential_sha256

    def reading(
        self,
        rank: Rank,
        seq: int,
        *,
        audio_ms: int = 0,
        audio_source: AudioSource = "pcm",
        channels: int = 1,
        connection_ms: int = 0,
        bytes_in: int = 0,
        bytes_out: int = 0,
        status: int = 0,
        close_code: int | None = None,
        failovers: int = 0,
        first_word_ms: int | None = None,
    ) -> UsageReading:
        """A reading of this request with these figures."""
        return UsageReading(
            request_id=self.request_id,
            started_ms=self.started_ms,
            project_id=self.project_id,
            key_id=self.key_id,
            service=self.service,
            lane=self.lane,
            path=self.path,
            tags=self.tags,
            rank=rank,
            seq=seq,
            audio_ms=audio_ms,
            audio_source=audio_source,
            channels=channels,
            connection_ms=connection_ms,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            status=status,
            close_code=close_code,
            model=self.model,
            features=self.features,
            failovers=failovers,
            first_word_ms=first_word_ms,
            traceparent="" if self.trace is None else self.trace.reading,
        )


@dataclass(unsafe_hash=True, slots=True, kw_only=True)  # frozen ones take several times as long to make
class Application:
    """A request for admission: what is known before Redis names its owner."""

    request_id: str
    started_ms: int
    credential_sha256: str
    service: Service
    lane: str
    path: str
    tags: tuple[str, ...]
    model: str = ""
    features: tuple[str, ...] = ()
    trace: Trace | None = field(default=None, compare=False)

    def opening(self) -> str:
        """The opening reading as JSON, without `project_id`, `key_id`, `tags`: the script that admits it adds these."""
        return self._reading(f'"rank":{int(Rank.OPEN)},"seq":0')

    def closing(self, status: int) -> str:
        """The final reading, likewise, of a request that was given up before anything happened."""
        return self._reading(f'"rank":{int(Rank.FINAL)},"seq":1,"status":{status}')

    def _reading(self, moving: str) -> str:
        # Written out, as `UsageReading.to_json` is: an encoder takes several times as long.
        return (
            f'{{"request_id":{quoted(self.request_id)},"started_ms":{self.started_ms},'
            f'"service":{quoted(self.service)},"lane":{quoted(self.lane)},"path":{quoted(self.path)},'
            f'"model":{quoted(self.model)},"features":[{",".join(map(quoted, self.features))}],'
            f"{moving}{'' if self.trace is None else trace_member(self.trace.reading)}}}"
        )

    def tags_json(self) -> str:
        """The request's own tags as a JSON array."""
        return f"[{','.join(map(quoted, self.tags))}]"

    def granted(
        self,
        *,
        project_id: str,
        key_id: str,
        authority: str,
        key_tags: tuple[str, ...],
        offline: bool,
        account_id: str = "",
        micros_per_hour: int = 0,
        counted: str = "",
        rate_limits: str = "",
    ) -> Grant:
        """The grant for this request. `key_tags`: what every request of its key carries."""
        project_id, key_id, credential_sha256, authority, account_id, counted = _shared(
            project_id, key_id, self.credential_sha256, authority, account_id, counted
        )
        return Grant(
            request_id=self.request_id,
            started_ms=self.started_ms,
            project_id=project_id,
            key_id=key_id,
            credential_sha256=credential_sha256,
            service=self.service,
            lane=self.lane,
            path=self.path,
            tags=united_tags(key_tags, self.tags),
            offline=offline,
            authority_sha256=authority,
            model=self.model,
            features=self.features,
            account_id=account_id,
            micros_per_hour=micros_per_hour,
            counted=counted,
            rate_limits=rate_limits,
            trace=self.trace,
        )


@lru_cache(maxsize=1024)
def _shared(*texts: str) -> tuple[str, ...]:
    """One copy of the texts that all requests with a key have alike: a stream holds them as long as it runs."""
    return texts


def united_tags(of_key: tuple[str, ...], brought: tuple[str, ...]) -> tuple[str, ...]:
    """The tags of a request's readings: its key's first, so that none of these is lost, then its own, each once.

    At most MAX_TAGS. tags.lua is the same in Redis.
    """
    return tuple(dict.fromkeys(of_key + brought))[:MAX_TAGS] if of_key else brought


class Verdict(Enum):
    """What a renewal found. The values are renew.lua's words."""

    OK = "ok"
    ENDED = "ended"  # its final reading is written already: nothing was renewed, nothing needs doing
    REVOKED = "revoked"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    KEY_QUOTA = "key quota"
    QUOTA = "project quota"
    ACCOUNT_QUOTA = "account quota"
    KEY_BUDGET = "key budget"
    PROJECT_BUDGET = "project budget"
    ACCOUNT_BUDGET = "account budget"
    BALANCE = "balance"

    @property
    def refused(self) -> bool:
        """Whether the request must end."""
        return self not in {Verdict.OK, Verdict.ENDED}

    @property
    def used_up(self) -> bool:
        """Whether only audio or money is used up: what was begun may be finished, and more is a 402."""
        return self in _USED_UP

    @property
    def close_reason(self) -> str:
        """The reason for the customer in the close frame (RFC 6455 section 5.5.1: at most 123 bytes)."""
        return _CLOSE_REASONS[self]


_USED_UP = {
    Verdict.KEY_QUOTA: "The API key's monthly audio quota is exhausted. Raise it, or wait for the next month.",
    Verdict.QUOTA: "The project's monthly audio quota is exhausted. Raise it, or wait for the next month.",
    Verdict.ACCOUNT_QUOTA: "The account's monthly audio quota is exhausted. Raise it, or wait for the next month.",
    Verdict.KEY_BUDGET: "The API key's monthly budget is spent. Raise it, or wait for the next month.",
    Verdict.PROJECT_BUDGET: "The project's monthly budget is spent. Raise it, or wait for the next month.",
    Verdict.ACCOUNT_BUDGET: "The account's monthly budget is spent. Raise it, or wait for the next month.",
    Verdict.BALANCE: "The billing account's balance is used up. Add credit, then connect again.",
}
_CLOSE_REASONS = {
    Verdict.OK: "",
    Verdict.ENDED: "",
    Verdict.REVOKED: "The API key was revoked. Use another key.",
    Verdict.EXPIRED: "The API key has expired. Use another key.",
    Verdict.SUSPENDED: "The project is suspended. Contact support.",
    **_USED_UP,
}
