"""Says what prevents a `pulumi up` in a stack's account, reading only: a row for each thing, and what to do.

python -m aldea_infra.preflight STACK [--json]
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import botocore.exceptions
import botocore.session

from aldea_infra.config import stack_file
from aldea_infra.config.parse import StackConfig
from aldea_infra.offline import mock_run
from aldea_infra.offline.graph import Graph
from aldea_infra.preflight import account, names
from aldea_infra.preflight.cloud import Cloud, Row, Rows, Status, clients, guarded

SIGN_IN: Final = "sign in (aws sso login, or AWS_PROFILE=…) and run it again; it only reads."


def look(cloud: Cloud, config: StackConfig, graph: Graph) -> Rows:
    """Every row; none of them raises for what AWS refuses."""
    for check, rows in account.CHECKS.items():
        yield from guarded(check, partial(rows, cloud, config, graph))
    yield from names.rows(cloud, graph)


def table(rows: Iterable[Row]) -> str:
    """The rows for a person: what is to be done below what was found."""
    rows = list(rows)
    width = max(len(row.check) for row in rows)
    lines = []
    for row in rows:
        lines.append(f"{row.status:<8}{row.check:<{width}}  {row.found}")
        if row.action:
            lines.append(f"{'':<8}{'':<{width}}  → {row.action}")
    counts = {status: sum(row.status is status for row in rows) for status in Status}
    return "\n".join([*lines, "", ", ".join(f"{count} {status}" for status, count in counts.items())])


def main(arguments: Sequence[str]) -> int:
    """Print the table; the exit status: 1 if something is to do or could not be read, 2 if nothing could be read."""
    parser = argparse.ArgumentParser(prog="python -m aldea_infra.preflight", description=__doc__.partition("\n")[0])
    parser.add_argument("stack", help="the stack's name, such as prod or dev")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    chosen = parser.parse_args(arguments)
    try:
        config = StackConfig.model_validate(stack_file.read(chosen.stack))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    session = botocore.session.get_session()
    try:
        make = _signed_in(session, config.stack.region)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        print(f"preflight: AWS cannot be read: {' '.join(str(error).split())}; {SIGN_IN}", file=sys.stderr)  # noqa: T201 - for a person
        return 2
    rows = list(look(Cloud(make), config, mock_run.run(chosen.stack)))
    print(json.dumps([asdict(row) for row in rows], indent=2) if chosen.json else table(rows))  # noqa: T201 - a command's output
    return 1 if any(row.status in {Status.DO, Status.UNKNOWN} for row in rows) else 0


def _signed_in(session: botocore.session.Session, region: str) -> Callable[[str], Any]:
    """Clients for an account that lets us in. Raises ClientError or BotoCoreError: there is no way in."""
    if session.get_credentials() is None:
        raise botocore.exceptions.NoCredentialsError
    make = clients(session, region)
    make("sts").get_caller_identity()
    return make


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
