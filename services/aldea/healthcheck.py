"""`python -m aldea.healthcheck`: exit status 0 if the service on this PORT is alive; for a container engine."""

import http.client
import os
import sys
from typing import Final

# Less than the container engine's own limit, so that the reason is seen in its log.
TIMEOUT_SECONDS: Final = 4.0


def main() -> int:
    """Request `/healthz`; 0 for 200, else 1 with a line on standard error."""
    port = os.environ.get("PORT", "")
    if not port.isdecimal():
        print(f"healthcheck: PORT is {port!r}; set it to the port that the service listens on", file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except OSError as error:
        print(f"healthcheck: no response on port {port}: {error}", file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    finally:
        connection.close()
    if status != http.client.OK:
        print(f"healthcheck: status {status}", file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
