"""Run the fault harness: `python -m tests.chaos --minutes 30 --seed 1`. Status 0 only if all is billed exactly once."""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict, replace

from tests.chaos.plan import Scale, long, short
from tests.chaos.run import Outcome, run


def main() -> int:
    """Run it and print what came out."""
    chosen = _parser().parse_args()
    scale = long(chosen.seed, chosen.minutes) if chosen.minutes is not None else short(chosen.seed)
    if chosen.streams is not None:
        scale = replace(scale, streams=chosen.streams)
    outcome = asyncio.run(run(scale, _report))
    if chosen.json:
        sys.stdout.write(json.dumps(to_object(scale, outcome), indent=2) + "\n")
    else:
        sys.stdout.write(text(scale, outcome) + "\n")
    return 1 if outcome.verdict.failures else 0


def text(scale: Scale, outcome: Outcome) -> str:
    """For people."""
    verdict = outcome.verdict
    parts = [
        f"seed {scale.seed}, {outcome.seconds:.0f} s, at rest {outcome.rest_seconds:.1f} s after the last request",
        "faults: " + ", ".join(f"{many} x {name}" for name, many in sorted(outcome.faults.items())),
        "wire: " + ", ".join(f"{many} {name}" for name, many in sorted(outcome.wire.items())),
        "callbacks: " + ", ".join(f"{many} {name}" for name, many in outcome.callbacks.items()),
        f"closed from their last checkpoint: {outcome.given_up} requests; overridden later: {outcome.came_back}",
        f"streams that went on at another STT server: {outcome.unbroken}, {outcome.failovers} times",
        f"proxy killed within their first second: {outcome.died_young} requests",
        verdict.table(),
        *(f"WRONG: {failure}" for failure in verdict.failures[:20]),
        f"{len(verdict.failures)} things are wrong" if verdict.failures else "every second is billed once",
    ]
    return "\n".join(parts)


def to_object(scale: Scale, outcome: Outcome) -> dict[str, object]:
    """The same as JSON."""
    return {
        "scale": asdict(scale),
        "seconds": round(outcome.seconds, 1),
        "rest_seconds": round(outcome.rest_seconds, 1),
        "faults": dict(outcome.faults),
        "wire": dict(outcome.wire),
        "callbacks": outcome.callbacks,
        "given_up": outcome.given_up,
        "came_back": outcome.came_back,
        "died_young": outcome.died_young,
        "unbroken": outcome.unbroken,
        "failovers": outcome.failovers,
        **outcome.verdict.to_object(),
    }


def _report(line: str) -> None:
    sys.stderr.write(f"chaos: {line}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, metavar="N", help="how long faults are injected (a short run of 5 s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed draws the same faults and requests (1)")
    parser.add_argument("--streams", type=int, metavar="N", help="live streams at any time (8; with --minutes 16)")
    parser.add_argument("--json", action="store_true", help="the outcome as one JSON object on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())
