"""What this process remembers of credentials that Redis admitted lately, for the time when Redis is unavailable."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aldea.admission import gcra

# While Redis is unavailable, a credential is good for this long after Redis last said so. A key revoked during an
# outage works at most this much longer.
OFFLINE_SECONDS: Final = 120.0
# Credentials remembered by one process, a few hundred bytes each; the least recently used ones go first.
MAX_KNOWN: Final = 20_000


@dataclass(unsafe_hash=True, slots=True, kw_only=True)  # frozen ones take several times as long to make
class KnownKey:
    """Whose a credential is. `expires_ms`: Unix time, None is never.

    `rates`: how many requests a minute there may be of the key, the project, the account, as far as these are limited:
    by the id that is counted. `account_id`, `plan`: of the billing account; empty texts where Redis knows none.
    """

    project_id: str
    key_id: str
    authority: str
    expires_ms: int | None
    rates: tuple[tuple[str, int], ...] = ()
    tags: tuple[str, ...] = ()
    account_id: str = ""
    plan: str = ""


class KnownKeys:
    """A bounded memory of good credentials by their hash."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        """`clock`: seconds that only ever rise. `wall`: Unix time in seconds, for expiry."""
        self._clock = clock
        self._wall = wall
        self._known: OrderedDict[str, tuple[KnownKey, float, int]] = OrderedDict()
        # Credentials and projects that may start nothing, each with the number of what had been learned before: what
        # Redis admitted after that is good again.
        self._distrusted: OrderedDict[str, int] = OrderedDict()
        self._learned = 0
        self._distrusted_before = 0  # everything up to this number, marks being forgotten
        self._parents: OrderedDict[str, None] = OrderedDict()  # of the tokens among the known, in the same order
        self._arrivals: dict[str, int] = {}  # GCRA's TAT of each limited subject while Redis is unavailable

    def __len__(self) -> int:
        return len(self._known)

    def remember(self, sha256: str, key: KnownKey) -> None:
        """Redis has just admitted this credential."""
        self._learned += 1
        self._known[sha256] = (key, self._clock(), self._learned)
        self._known.move_to_end(sha256)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        if key.authority != sha256:
            self._parents[key.authority] = None
            self._parents.move_to_end(key.authority)
            if len(self._parents) > MAX_KNOWN:
                self._parents.popitem(last=False)
        for subject, _ in key.rates:
            self._arrivals.pop(subject, None)  # Redis is available and keeps the rates again

    def forget(self, sha256: str) -> None:
        """Redis has just refused this credential for what it is: its tokens are no better.

        Strangers send any number of credentials that nobody knows: no mark is made of those that nothing depends on.
        """
        self._known.pop(sha256, None)
        if sha256 in self._parents:
            self.distrust(sha256)

    def distrust(self, subject: str) -> None:
        """Redis has just said that a credential (its hash) or a project (its id) may start nothing.

        That holds for every credential that depends on it: a key's tokens, a project's keys. They are not looked for
        here, where thousands may be kept, but each when it is recalled.
        """
        self._distrusted[subject] = self._learned
        self._distrusted.move_to_end(subject)
        if len(self._distrusted) > MAX_KNOWN:
            _, self._distrusted_before = self._distrusted.popitem(last=False)

    def owner(self, sha256: str) -> KnownKey | None:
        """Whose a remembered credential is, good or not."""
        return found[0] if (found := self._known.get(sha256)) is not None else None

    def recall(self, sha256: str) -> KnownKey | None:
        """The credential, if it may be trusted without a call to Redis."""
        if (found := self._known.get(sha256)) is None:
            return None
        key, seen, number = found
        if number <= self._distrusted_before or any(
            number <= self._distrusted.get(subject, 0) for subject in (sha256, key.authority, key.project_id)
        ):
            return None
        if self._clock() - seen > OFFLINE_SECONDS:
            return None
        if key.expires_ms is not None and key.expires_ms <= self._wall() * 1000:
            return None
        return key

    def hold(self, sha256: str, wait_us: int, subject: str) -> None:
        """Redis has just refused this credential for the rate of a subject, which allows nothing for `wait_us`."""
        if (found := self._known.get(sha256)) is not None and (rate := dict(found[0].rates).get(subject)):
            tolerance, interval = gcra.burst(rate) * gcra.interval_us(rate), gcra.interval_us(rate)
            self._arrived(subject, int(self._clock() * 1_000_000) + wait_us + tolerance - interval)

    def retry_after(self, key: KnownKey) -> float:
        """Count one request against the key's rates, in this process alone; 0, or seconds to wait."""
        now_us = int(self._clock() * 1_000_000)
        decisions = [(subject, gcra.decide(self._arrivals.get(subject), now_us, rate)) for subject, rate in key.rates]
        wait_us = max((decision.retry_after_us for _, decision in decisions), default=0)
        if not wait_us:
            for subject, decision in decisions:
                self._arrived(subject, decision.tat_us)
        return wait_us / 1_000_000

    def _arrived(self, subject: str, tat_us: int) -> None:
        self._arrivals[subject] = tat_us
        if len(self._arrivals) > MAX_KNOWN:
            del self._arrivals[next(iter(self._arrivals))]
