"""The embedded Redis' users: production's roles with production's access strings, so that a missing right shows here.

Before Redis 7 there are no read-only key patterns (`%R~`): there a proxy may write the records that it reads.
"""

import re
import subprocess
from typing import Final

from aldea_infra.catalogue import Role
from aldea_infra.components.redis_access import ACCESS, password

# Which services of the onebox sign in as which role.
ROLE_OF: Final = {"ws_proxy": Role.WS_PROXY, "http_proxy": Role.HTTP_PROXY, "backend": Role.BACKEND}
READ_ONLY_PATTERNS_SINCE: Final = 7


def configuration(token: str, binary: str) -> str:
    """The lines of redis.conf that make the users; each has a password made from `token`, as in production."""
    new = major_version(binary) >= READ_ONLY_PATTERNS_SINCE
    return "".join(
        f"user {role} {rules(access, read_only_patterns=new)} >{password(token, role)}\n"
        for role, access in ACCESS.items()
    )


def rules(access: str, *, read_only_patterns: bool) -> str:
    """An access string as this server takes it."""
    return access if read_only_patterns else access.replace("%R~", "~")


def left_out(binary: str) -> str:
    """What this server does not enforce that production's does; empty if nothing."""
    if major_version(binary) >= READ_ONLY_PATTERNS_SINCE:
        return ""
    return (
        f"{binary} is older than Redis {READ_ONLY_PATTERNS_SINCE} and has no read-only key patterns: here, unlike in "
        "production, a proxy could also write API keys' records. A newer redis-server on PATH is used instead."
    )


def major_version(binary: str) -> int:
    """The server's: 7 of `Redis server v=7.0.15 sha=…`. Valkey counts on from Redis 7.2."""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v=(\d+)", said)
    return int(found[1]) if found else 0
