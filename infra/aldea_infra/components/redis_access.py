"""Which Redis user each role signs in as, and what it may do: ElastiCache's access strings, Redis' ACL. No pulumi.

A proxy talks to strangers, so it may make no credential and grant nothing: it reads credentials, projects, accounts and
prices, and writes only what a request of its own changes. Key permissions of `%R~` are of Redis 7 (ACL selectors and
read-only patterns).
"""

import hashlib
import hmac
from typing import Final

from aldea_infra.catalogue import Role

# What every client sends as it connects.
CONNECTING: Final = "+auth +hello +ping +select +reset +client|setname"
# Records that the backend writes and proxies read.
RECORDS: Final = "%R~cred:* %R~project:* %R~account:* %R~prices:* %R~keys:loaded"
# What admission writes (aldea.redis.schema); `aldea:probe` is what the probe of a lost Redis deletes; `fleet:`
# is what proxies see of their STT servers.
ADMISSION: Final = "~rate:* ~leases:* ~used:* ~spent:* ~metered:* ~usage:readings ~aldea:probe ~fleet:*"
# The commands of admission's scripts, and of the probe. `xlen` is of releases before, which run during a deployment.
ADMITTING: Final = (
    "+evalsha +script|load +del +time +exists +get +set +incrby +expire +pexpire +ttl +pttl +hget +hmget +hincrby "
    "+hdel +zadd +zrem +zscore +zcount +zremrangebyscore +xadd +xlen"
)
# Results that wait for their delivery (http_proxy.callbacks.store), reports of those given up, what their scripts and
# reads add, and the wait for a replica (aldea.redis.replicas).
# And the reservations of files (reserve.lua), which end with the request.
CALLBACKS: Final = "~reserved ~callbacks:* ~callback:* ~alerts:events"
DELIVERING: Final = "+hset +hgetall +zrange +zrangebyscore +decrby +eval +wait +info"
# The backend owns the rest. Of what is dangerous it needs two words: whether Redis was restarted, and to end a read.
OWNING: Final = "~* -@all +@all -@admin -@dangerous +info +client|id +client|unblock"

# No user may sign in under a name of nobody's: ElastiCache wants a user called `default` in every group.
NOBODY: Final = "off -@all"
ACCESS: Final = {
    Role.WS_PROXY: f"on {RECORDS} {ADMISSION} -@all {CONNECTING} {ADMITTING}",
    Role.HTTP_PROXY: f"on {RECORDS} {ADMISSION} {CALLBACKS} -@all {CONNECTING} {ADMITTING} {DELIVERING}",
    Role.BACKEND: f"on {OWNING} {CONNECTING}",
}


def password(token: str, user: str) -> str:
    """A user's password: one user's password reveals neither another's nor the token that they are made from."""
    return hmac.new(token.encode(), f"redis user {user}".encode(), hashlib.sha256).hexdigest()
