"""`python -m aldea.load --url … --key …`: real-time streams through any address, judged by the objectives."""

import argparse
import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from aldea.canary.client import StreamFailed
from aldea.load.course import Course, Result, Window
from aldea.load.crowd import Crowd
from aldea.load.picture import picture
from aldea.load.plan import MAX_SECONDS, Plan, UnusablePlan, within
from aldea.load.report import document, lines, progress
from aldea.load.verdict import Objectives
from aldea.objectives import FINAL_LAG, FIRST_WORDS

# An image mirrors the repository's layout, so the sample lies at the same place in both.
SAMPLE: Final = Path(__file__).resolve().parents[3] / "onebox" / "samples" / "speech.wav"
# Beside the sockets of streams and uploads.
_OTHER_FILES: Final = 100
# An objective of nothing is kept by nobody.
LEAST_SECONDS: Final = 0.001


def _parser() -> argparse.ArgumentParser:
    environment = os.environ
    parser = argparse.ArgumentParser(prog="python -m aldea.load", description=__doc__)
    parser.add_argument("--url", default=environment.get("ALDEA_URL"), help="the deployment's address (or ALDEA_URL)")
    parser.add_argument(
        "--key", default=environment.get("ALDEA_KEY"), help="an API key (or ALDEA_KEY, which no process list shows)"
    )
    parser.add_argument("--streams", type=int, default=10, metavar="N", help="at a time (10); of a search at most")
    parser.add_argument("--ramp", type=float, default=10.0, metavar="SECONDS", help="until all have begun (10)")
    parser.add_argument(
        "--hold", type=float, default=30.0, metavar="SECONDS", help="after that (30); of each step of a search"
    )
    parser.add_argument("--uploads", type=int, default=0, metavar="M", help="uploads at a time beside the streams (0)")
    parser.add_argument(
        "--stream-seconds",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="of audio in each stream (60), then another one begins",
    )
    parser.add_argument("--find-saturation", action="store_true", help="go up until the objectives are kept no longer")
    for objective in (FIRST_WORDS, FINAL_LAG):
        parser.add_argument(
            f"--{objective.name.replace('_', '-')}", type=float, default=objective.seconds, metavar="SECONDS",
            help=f"the objective: {100 * objective.target:g} %% within these (%(default)s)",
        )  # fmt: skip
    parser.add_argument("--sample", type=Path, default=SAMPLE, help="16-bit WAV that is streamed again and again")
    parser.add_argument(
        "--report", type=Path, default=Path("load-report"), metavar="PATH", help="writes PATH.json and PATH.svg"
    )
    parser.add_argument("--i-own-this", action="store_true", help="needed for any address but this machine's")
    return parser


async def _run(plan: Plan, key: str, sample: Path, objectives: Objectives) -> Result:
    crowd = Crowd(plan, key, sample, objectives.first_words.seconds or 0.0)
    course = Course(plan, crowd, objectives, _show)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, course.stop)
    return await course.run()


def _show(window: Window) -> None:
    print(progress(window), file=sys.stderr, flush=True)  # noqa: T201 - a command's progress


def _room(plan: Plan) -> None:
    """Have a file for each connection. Raises UnusablePlan."""
    wanted = plan.streams + plan.uploads + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise UnusablePlan(f"{wanted} open files are needed and {hard} are allowed here: raise `ulimit -Hn`.")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _checked(chosen: argparse.Namespace) -> None:
    """What no plan holds. Raises UnusablePlan: at once, and not at the end of a test that may last an hour."""
    for objective in (FIRST_WORDS, FINAL_LAG):
        within(f"--{objective.name.replace('_', '-')}", getattr(chosen, objective.name), LEAST_SECONDS, MAX_SECONDS)
    if not chosen.key.isascii() or not chosen.key.isprintable() or " " in chosen.key:
        raise UnusablePlan("--key: got one with blanks, control or other characters than ASCII's; give the key alone.")
    folder = chosen.report.parent
    for path in _outputs(chosen.report):
        if not folder.is_dir() or path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
            raise UnusablePlan(f"--report: {path} cannot be written; name a file in a folder that is there.")


def _outputs(report: Path) -> list[Path]:
    return [report.with_name(report.name + suffix) for suffix in (".json", ".svg")]


def main(arguments: Sequence[str]) -> int:
    """Run the test; exit status 0 if the objectives are kept, 1 if not, 2 for unusable arguments."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if not chosen.url or not chosen.key:
        parser.error("an address and a key are needed: give --url and --key, or set ALDEA_URL and ALDEA_KEY")
    plan = Plan(
        chosen.url.rstrip("/"), chosen.streams, chosen.ramp, chosen.hold, chosen.uploads, chosen.stream_seconds,
        saturation=chosen.find_saturation, own=chosen.i_own_this,
    )  # fmt: skip
    objectives = Objectives(
        first_words=replace(FIRST_WORDS, seconds=chosen.first_words),
        final_lag=replace(FINAL_LAG, seconds=chosen.final_lag),
    )
    try:
        _checked(chosen)
        _room(plan.checked())
        result = asyncio.run(_run(plan, chosen.key, chosen.sample, objectives))
    except (UnusablePlan, StreamFailed) as failure:
        parser.error(str(failure))
    report = document(result)
    for line in lines(result):
        print(line)  # noqa: T201 - a command's output
    texts = json.dumps(report, indent=1) + "\n", picture(report)
    for path, text in zip(_outputs(chosen.report), texts, strict=True):
        try:
            path.write_text(text)
        except OSError as error:
            print(f"{path} cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201
            return 2
        print(f"wrote {path}")  # noqa: T201
    return 0 if result.kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
