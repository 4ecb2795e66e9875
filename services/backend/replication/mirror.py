"""Writes what admission reads in Redis: credentials, projects, accounts, prices. No change is undone by an earlier."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import structlog

from aldea.postgres import DatabaseUnavailable
from aldea.redis.errors import RedisUnavailable
from aldea.redis.link import RedisLink
from aldea.redis.schema import CredentialRecord, ProjectRecord, credential_key, project_key, spent_key, used_key
from backend.replication.mirror_scripts import LOWER_SPENT, PUT, PUT_TOKENS, RAISE, RAISE_SPENT, REMOVE, SPENT, STALE

log = structlog.get_logger("backend.replication.mirror")

# Records of one script call: about 60 KB, a few milliseconds of Redis' one thread.
BATCH: Final = 200
# A month's counter is not needed once the month is over; it is kept a while for inspection.
USED_SECONDS: Final = 45 * 86_400

# A record that changes concurrently is looked up again this often; then the reconciliation writes the change.
MAX_LOOKS: Final = 3

T = TypeVar("T")


class NotWritten(RedisUnavailable):
    """Redis holds another record and it is not known to be the later one: the change has no effect yet."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record for Redis: its name, the revision of the row that it mirrors, its fields.

    `until_ms`: when Redis may forget it, Unix milliseconds; None: never.
    """

    name: str
    revision: int
    fields: Mapping[str, str]
    until_ms: int | None = None

    @classmethod
    def credential(
        cls, sha256: str, revision: int, record: CredentialRecord, *, until_ms: int | None = None
    ) -> "Entry":
        """The entry of a credential."""
        return cls(credential_key(sha256), revision, record.to_hash(), until_ms)

    @classmethod
    def project(cls, project_id: str, revision: int, record: ProjectRecord) -> "Entry":
        """The entry of a project."""
        return cls(project_key(project_id), revision, record.to_hash())

    @property
    def digest(self) -> str:
        """Distinguishes records of the same revision: a restored database gives a revision to another change."""
        said = json.dumps([sorted(self.fields.items()), self.until_ms])
        return hashlib.sha256(said.encode()).hexdigest()[:16]

    def to_json(self, instead: str | None = None) -> str:
        """What the script reads. `instead`: what is stored there and may be overwritten."""
        record = {"revision": self.revision, "digest": self.digest, "fields": dict(self.fields)}
        optional = {"until_ms": self.until_ms, "instead": instead}
        return json.dumps(record | {name: value for name, value in optional.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Token:
    """A short-lived token's record, good for `ttl_ms` from now on. `fields`: all but when it expires."""

    sha256: str
    fields: Mapping[str, str]
    ttl_ms: int

    @classmethod
    def of(cls, sha256: str, record: CredentialRecord, ttl_ms: int) -> "Token":
        """The token of a credential's record, whose own expiry does not count."""
        fields = record.to_hash()
        del fields["expires_ms"]
        return cls(sha256, fields, ttl_ms)

    def to_json(self) -> str:
        """What the script reads."""
        return json.dumps({"ttl_ms": self.ttl_ms, "fields": dict(self.fields)})


@dataclass(frozen=True, slots=True)
class Spent:
    """What Redis has somebody spend, micro-dollars and ms of audio, and how often that was lowered.

    Of an account, by its id, it is its charges ever, without audio; of what is limited by month it is that of a month,
    by `id:YYYYMM`. `apart`: of a project's month, whose audio is in a counter of its own, of every project.
    """

    micros: int
    corrected: int = 0
    audio_ms: int = 0
    apart: bool = False


class Rows(Protocol):
    """Where the records come from."""

    async def current(self, names: Sequence[str]) -> list[Entry]:
        """The records that should be stored under these names now; a name without one is left out."""

    async def known(self, names: Sequence[str]) -> set[str]:
        """Those of these names that have a record."""


class Mirror:
    """The writing side of `aldea.redis.schema`'s credentials and projects."""

    def __init__(self, link: RedisLink, rows: Rows) -> None:
        self.link = link
        self._rows = rows

    async def put(self, entries: Sequence[Entry]) -> int:
        """Make sure that Redis holds the records, or later ones of the same rows; how many were written.

        Where Redis holds a later revision, the row itself decides: it is read once more, and what it says then is
        written if it still is the earlier one. Then PostgreSQL was restored to an earlier state, and is the truth all
        the same. Raises RedisUnavailable (NotWritten among them), DatabaseUnavailable.
        """
        written = 0
        for batch in _batches(entries):
            more, others = await self._write(batch, {})
            written += more
            for _ in range(MAX_LOOKS):
                if not others:
                    break
                more, others = await self._write(await self._rows.current(list(others)), others)
                written += more
                if more:
                    log.warning("PostgreSQL is behind Redis, its rows are written all the same", rows=more)
            if others:
                raise NotWritten(f"Redis holds other records: {sorted(others)}")
        return written

    async def _write(self, entries: Sequence[Entry], instead: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        """How many were written, and what is stored in place of the others, by name."""
        if not entries:
            return 0, {}
        records = [entry.to_json(instead.get(entry.name)) for entry in entries]
        written, others = await self.link.call(PUT, [entry.name for entry in entries], records)
        return int(written), {entries[int(place) - 1].name: str(seen) for place, seen in others}

    async def put_or_defer(self, *entries: Entry) -> bool:
        """Write after a change; False if it has no effect yet. key_sync writes it, at the latest when Redis is back."""
        try:
            await self.put(entries)
        except (RedisUnavailable, DatabaseUnavailable) as error:
            log.warning(
                "redis write failed, key sync will repeat it", names=[entry.name for entry in entries], error=str(error)
            )
            return False
        return True

    async def refresh(self, entries: Sequence[Entry]) -> int:
        """The same as `put` for records that Redis mostly holds: compares first, sends only what differs."""
        written = 0
        for batch in _batches(entries):
            # Revision and digest are fields, too.
            ours = [figure for one in batch for figure in (str(one.revision), one.digest, str(len(one.fields) + 2))]
            stale = await self.link.call(STALE, [entry.name for entry in batch], ours)
            written += await self.put([batch[int(place) - 1] for place in stale])
        return written

    async def put_tokens(self, tokens: Sequence[Token]) -> int:
        """Write short-lived tokens that Redis does not hold yet; how many were. Raises RedisUnavailable."""
        written = 0
        for start in range(0, len(tokens), BATCH):
            batch = tokens[start : start + BATCH]
            names, records = [credential_key(token.sha256) for token in batch], [token.to_json() for token in batch]
            written += int(await self.link.call(PUT_TOKENS, names, records))
        return written

    async def known(self, names: Sequence[str]) -> set[str]:
        """Those of these names that have a row in PostgreSQL. Raises DatabaseUnavailable."""
        return await self._rows.known(names)

    async def raise_used(self, month: str, audio_ms: Mapping[str, int]) -> None:
        """Raise `used:{project}:{month}` to PostgreSQL's figures. Raises RedisUnavailable."""
        items = list(audio_ms.items())
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            names = [used_key(project_id, month) for project_id, _ in batch]
            await self.link.call(RAISE, names, [*(str(figure) for _, figure in batch), str(USED_SECONDS)])

    async def raise_spent(self, figures: Mapping[str, Spent], *, seconds: int = 0) -> None:
        """Raise what was spent to PostgreSQL's figures, kept so long (0: for ever). Raises RedisUnavailable."""
        for batch in _batches(list(figures.items())):
            names = [spent_key(name) for name, _ in batch]
            words = [str(word) for _, figure in batch for word in (figure.micros, figure.audio_ms)]
            await self.link.call(RAISE_SPENT, names, [*words, str(seconds)])

    async def spent(self, names: Sequence[str], apart: Collection[str] = ()) -> dict[str, Spent]:
        """What Redis has these spend; `apart`: those of them whose audio is counted apart. Raises RedisUnavailable."""
        found: dict[str, Spent] = {}
        for batch in _batches(names):
            keys = [key for name in batch for key in _counters(name, apart=name in apart)]
            for name, numbers in zip(batch, await self.link.call(SPENT, keys, []), strict=True):
                micros, corrected, audio_ms = map(int, numbers)
                found[name] = Spent(micros, corrected, audio_ms, apart=name in apart)
        return found

    async def lower_spent(self, wrong: Mapping[str, tuple[Spent, Spent]]) -> int:
        """Take from each spend what it is too high by, once; how many were lowered. Raises RedisUnavailable.

        `wrong`: the surplus, and what was seen. Skipped where somebody else lowered it since that was seen.
        """
        lowered = 0
        for batch in _batches(list(wrong.items())):
            keys = [key for name, (_, seen) in batch for key in _counters(name, apart=seen.apart)]
            words = [
                str(word) for _, (surplus, seen) in batch for word in (surplus.micros, surplus.audio_ms, seen.corrected)
            ]
            lowered += int(await self.link.call(LOWER_SPENT, keys, [*words, str(USED_SECONDS)]))
        return lowered

    async def remove(self, names: Sequence[str]) -> int:
        """Remove those of the records `names` that are no tokens; how many were. Raises RedisUnavailable."""
        return int(await self.link.call(REMOVE, names, []))


def _counters(name: str, *, apart: bool) -> tuple[str, str]:
    """The keys of what was spent and of its audio, `name` as of `Spent`."""
    return spent_key(name), used_key(*name.split(":")) if apart else spent_key(name)


def _batches(entries: Sequence[T]) -> list[Sequence[T]]:
    return [entries[start : start + BATCH] for start in range(0, len(entries), BATCH)]
