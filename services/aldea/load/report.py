"""The report of a load test: as a document for JSON, and as lines for a person. No I/O; the key is in neither."""

from collections.abc import Iterator, Sequence
from typing import Any

from aldea.load.course import Result, Window
from aldea.load.tally import Distribution, Tally, finite
from aldea.load.verdict import MAX_OWN_LAG_SECONDS, Judged


def document(result: Result) -> dict[str, Any]:
    """Everything that was measured; times in seconds, None for what was not measured or never came."""
    plan = result.plan
    found: dict[str, Any] = {
        "url": plan.url,
        "plan": {
            "streams": plan.streams, "ramp_seconds": plan.ramp_seconds, "hold_seconds": plan.hold,
            "uploads": plan.uploads, "stream_seconds": plan.stream_seconds, "saturation": plan.saturation,
        },
        "seconds": round(result.seconds, 3),
        "interrupted": result.interrupted,
        "most_open_streams": result.most_open,
        "generator_lag_p99_seconds": round(result.own_lag, 3),
        **result.total.document(),
        "verdict": {
            "kept": result.kept,
            "credible": result.credible,
            "objectives": [_judged(each) for each in result.judged],
        },
        "course": [_window(window) for window in result.windows],
    }  # fmt: skip
    if plan.saturation:
        found["saturation"] = {
            "streams": result.saturation,
            "not_carried": result.limit,
            "by": limited_by(result),
            "stages": [
                {
                    "streams": stage.streams,
                    "carried": stage.carried,
                    "failures": dict(stage.tally.failures),
                    "first_words_p95": _p95(stage.tally.first_words),
                    "final_lag_p95": _p95(stage.tally.final_lag),
                }
                for stage in result.stages
            ],
        }
    return found


def limited_by(result: Result) -> str | None:
    """By what the deployment showed that it carries no more: the most frequent failure, else the objective."""
    refused = [stage for stage in result.stages if not stage.carried]
    if not refused:
        return None
    stage = min(refused, key=lambda each: each.streams)
    if stage.tally.failures:
        return stage.tally.failures.most_common(1)[0][0]
    return next((each.objective.name for each in stage.judged if each.events and not each.kept), "no response in time")


def progress(window: Window) -> str:
    """A line while the test runs."""
    tally = window.tally
    said = [f"{window.at + window.seconds:5.0f} s", f"{window.open}/{window.wanted} streams"]
    said += [f"{tally.uploads} uploads"] if tally.uploads else []
    said += [f"failed {_causes(tally)}"] if tally.failed or tally.upload_failures else []
    for title, seen in (("first words", tally.first_words), ("final lag", tally.final_lag)):
        said += [f"{title} p95 {_shown(seen.percentile(95))}"] if seen.count else []
    return "  ".join(said)


def lines(result: Result) -> Iterator[str]:
    """The report for a person."""
    total = result.total
    yield (
        f"{total.opened} streams opened of {total.attempts} tried, at most {result.most_open} at a time, "
        f"{total.uploads} uploads, in {result.seconds:.0f} s{' (ended early)' if result.interrupted else ''}"
    )
    for title, seen in (
        ("connect", total.connect), ("first words", total.first_words), ("final lag", total.final_lag),
        ("upload", total.upload),
    ):  # fmt: skip
        if seen.count:
            shown = "  ".join(f"p{percent} {_shown(seen.percentile(percent))}" for percent in (50, 95, 99))
            yield f"  {title:<12} {shown}  of {seen.count}"
    for cause, count in total.failures.most_common():
        yield f"  failed: {cause:<20} {count}"
    for cause, count in total.upload_failures.most_common():
        yield f"  failed upload: {cause:<13} {count}"
    if result.plan.saturation:
        yield from _saturation(result)
    else:
        yield from _verdict(result.judged)
    if not result.credible:
        yield (
            f"NO VERDICT: this program itself ran up to {result.own_lag:.2f} s late; at most {MAX_OWN_LAG_SECONDS:g} s "
            "are allowed. Start fewer streams, or several of it on other machines."
        )
    else:
        yield "the objectives are kept" if result.kept else "the objectives are NOT KEPT"


def _saturation(result: Result) -> Iterator[str]:
    for stage in result.stages:
        yield f"  {stage.streams:>5} streams: {'carried' if stage.carried else 'NOT carried  ' + _causes(stage.tally)}"
    if result.limit is None:
        yield f"saturation point: not found, {result.saturation} streams are carried (raise --streams to look further)"
    else:
        yield f"saturation point: {result.saturation} streams; {result.limit} fail by: {limited_by(result)}"


def _verdict(judged: Sequence[Judged]) -> Iterator[str]:
    for each in judged:
        share = "nothing was seen" if each.share is None else f"{100 * each.share:.2f} %"
        yield f"  {'ok  ' if each.kept else 'FAIL'}  {each.objective.title}: {share} ({each.objective.promise})"


def _judged(each: Judged) -> dict[str, Any]:
    objective = each.objective
    return {
        "name": objective.name, "target": objective.target, "seconds": objective.seconds, "events": each.events,
        "good": each.good, "kept": each.kept,
    }  # fmt: skip


def _window(window: Window) -> dict[str, Any]:
    return {
        "at": round(window.at, 3),
        "seconds": round(window.seconds, 3),
        "wanted": window.wanted,
        "open": window.open,
        "failed": window.tally.failed,
        "uploads": window.tally.uploads,
        "first_words_p95": _p95(window.tally.first_words),
        "final_lag_p95": _p95(window.tally.final_lag),
    }


def _p95(seen: Distribution) -> float | None:
    return finite(seen.percentile(95))


def _shown(seconds: float | None) -> str:
    return "never" if finite(seconds) is None else f"{seconds:.3f} s"


def _causes(tally: Tally) -> str:
    both = tally.failures + tally.upload_failures
    return ", ".join(f"{count} x {cause}" for cause, count in both.most_common(3))
