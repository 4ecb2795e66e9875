"""What a process does not import: a start of the platform starts a dozen of them, and waits for their imports."""

import json
import subprocess
import sys

import pytest

SERVICES = "ws_proxy.__main__, http_proxy.__main__, backend.__main__, frontend.__main__, stt_api.__main__"


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        # The last is for those that serve: `migrate` and `bootstrap` run before, in processes of their own.
        (SERVICES, {"rich", "pygments", "sqlalchemy", "alembic", "backend.app"}),
        # Nor do those two send anything to AWS.
        ("backend.cli, backend.schema.migrate, backend.bootstrap", {"botocore", "aiobotocore"}),
        # Clients of stores, each for a store that was given in the environment.
        ("onebox.cli", {"botocore", "aiobotocore", "redis", "opentelemetry", "onebox.given.queues"}),
    ],
)
def test_a_process_imports_nothing_that_it_may_never_use(modules: str, absent: set[str]) -> None:
    script = f"import json, sys, {modules}; print(json.dumps(list(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert absent.isdisjoint(json.loads(found.stdout))
