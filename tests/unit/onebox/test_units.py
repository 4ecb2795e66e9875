import json
import signal
from pathlib import Path

import pytest

from aldea_infra.components import redis_access
from backend.alerts.mail import MailUrl
from onebox import redis_users
from onebox.console import Console
from onebox.home import BALANCER, ROOT, Home
from onebox.supervisor import Supervisor, Unit
from onebox.units import (
    REPLACED_BY,
    SECOND_ENGINE,
    SERVICES,
    TARGETS,
    Plan,
    console_address,
    mail_folder,
    plan,
    steps,
    units,
)

EXTERNAL = {
    "DATABASE_URL": "postgresql://me:secret@db.example:5432/aldea",
    "REDIS_URL": "redis://cache.example:6379/0",
    "SQS_ENDPOINT_URL": "http://sqs.example:9324",
    "STT_UPSTREAMS": "http://gpu.example:8800",
}


def planned(folder: Path, environment: dict[str, str]) -> Plan:
    return plan(Home(folder / "box"), 0, environment)


def by_name(found: list[Unit]) -> dict[str, Unit]:
    return {unit.spec.name: unit for unit in found}


def test_without_urls_every_store_and_the_engine_are_embedded(tmp_path: Path) -> None:
    chosen = planned(tmp_path, {})
    found = by_name(units(chosen))
    assert set(REPLACED_BY) | {BALANCER} <= set(found)
    # Each with the rights of its role in production.
    assert found["backend"].spec.env["DATABASE_URL"] == f"{chosen.database_url}?role=imp_backend"
    assert found["sqs_updater"].spec.env["DATABASE_URL"] == f"{chosen.database_url}?role=sqs_updater"
    assert f":{chosen.ports['postgres']}/" in chosen.database_url


def test_each_service_signs_in_to_the_embedded_redis_as_its_role_in_production(tmp_path: Path) -> None:
    chosen = planned(tmp_path, {})
    found = by_name(units(chosen))
    passwords = [chosen.home.secret("redis")]
    for name, role in redis_users.ROLE_OF.items():
        passwords.append(redis_access.password(chosen.home.secret("redis"), role))
        url = f"redis://{role}:{passwords[-1]}@127.0.0.1:{chosen.ports['redis']}/0"
        assert found[name].spec.env["REDIS_URL"] == url
    with_redis = {name for name, unit in found.items() if "REDIS_URL" in unit.spec.env}
    assert with_redis == set(redis_users.ROLE_OF)
    arguments = " ".join(word for unit in found.values() for word in unit.spec.argv)
    assert not [password for password in passwords if password in arguments]
    assert planned(tmp_path, {}).redis_url == chosen.redis_url, "it outlives a restart"


@pytest.mark.parametrize("store", sorted(REPLACED_BY))
def test_a_url_in_the_environment_replaces_what_is_embedded(tmp_path: Path, store: str) -> None:
    variable = REPLACED_BY[store]
    found = by_name(units(planned(tmp_path, {variable: EXTERNAL[variable]})))
    assert store not in found
    given = {unit.spec.env[variable] for unit in found.values() if variable in unit.spec.env}
    assert given <= {EXTERNAL[variable]}


def test_a_second_engine_is_run_only_where_it_is_requested_and_the_first_is_embedded(tmp_path: Path) -> None:
    chosen = plan(Home(tmp_path / "box"), 0, {}, two_engines=True)
    found = by_name(units(chosen))
    urls = [chosen.address("stt_api"), chosen.address(SECOND_ENGINE)]
    assert len(set(urls)) == 2
    assert found["ws_proxy"].spec.env["STT_UPSTREAMS"].split(",") == urls
    assert found[SECOND_ENGINE].spec.argv == found["stt_api"].spec.argv
    assert found[SECOND_ENGINE].spec.env["STT_API_TOKEN"] == found["ws_proxy"].spec.env["STT_UPSTREAM_TOKEN"]
    assert SECOND_ENGINE not in by_name(units(planned(tmp_path, {})))
    given = plan(Home(tmp_path / "other"), 0, {"STT_UPSTREAMS": EXTERNAL["STT_UPSTREAMS"]}, two_engines=True)
    assert given.engines == {}


def test_with_all_urls_given_no_store_runs_and_each_service_has_them(tmp_path: Path) -> None:
    chosen = planned(tmp_path, EXTERNAL)
    found = by_name(units(chosen))
    assert not set(REPLACED_BY) & set(found)
    backend = found["backend"].spec.env
    assert backend["DATABASE_URL"] == chosen.database_url == EXTERNAL["DATABASE_URL"]
    assert backend["REDIS_URL"] == EXTERNAL["REDIS_URL"]
    assert backend["SQS_ENDPOINT_URL"] == EXTERNAL["SQS_ENDPOINT_URL"]
    assert backend["USAGE_QUEUE_URL"].startswith(EXTERNAL["SQS_ENDPOINT_URL"])
    assert "AWS_SECRET_ACCESS_KEY" not in backend, "somebody's own queue needs their own credentials"


def test_everything_that_is_waited_for_can_become_ready(tmp_path: Path) -> None:
    chosen = planned(tmp_path, {})
    found = by_name(units(chosen))
    names = set(found) | {step.name for step in steps(chosen, Supervisor(Console(), tmp_path))}
    for unit in found.values():
        assert set(unit.after) <= names, unit.spec.name


def test_proxies_stop_before_the_balancer_and_the_stores_last(tmp_path: Path) -> None:
    stage = {name: unit.stop_stage for name, unit in by_name(units(planned(tmp_path, {}))).items()}
    for proxy in {"ws_proxy", "http_proxy"} & set(stage):
        assert stage[proxy] < stage[BALANCER]
    assert stage[BALANCER] < stage["backend"] < stage["sqs"] < stage["redis"] == stage["postgres"]


def test_the_balancer_knows_where_each_service_of_the_table_runs(tmp_path: Path) -> None:
    chosen = planned(tmp_path, {})
    found = by_name(units(chosen))
    targets = json.loads(found[BALANCER].spec.env["TARGETS"])
    assert targets == {target: chosen.address(name) for target, name in TARGETS.items() if name in found}


def test_every_service_that_can_be_run_is_run(tmp_path: Path) -> None:
    found = by_name(units(planned(tmp_path, {})))
    runnable = {path.parent.name for path in (ROOT / "services").glob("*/__main__.py")}
    assert runnable == {*SERVICES, "stt_api"} <= set(found)


def test_postgres_is_stopped_without_waiting_for_its_clients(tmp_path: Path) -> None:
    assert by_name(units(planned(tmp_path, {})))["postgres"].spec.stop_signal is signal.SIGINT


def test_the_console_reaches_the_api_directly_and_names_the_balancer_to_browsers(tmp_path: Path) -> None:
    chosen = planned(tmp_path, {})
    given = by_name(units(chosen))["frontend"].spec.env
    assert given["PLATFORM_API_URL"] == chosen.address("backend")
    assert given["PUBLIC_API_URL"] == f"http://localhost:{chosen.ports[BALANCER]}"
    assert given["COOKIE_SECURE"] == "false"
    assert console_address(chosen) == f"http://platform.localhost:{chosen.ports[BALANCER]}"


def test_with_images_every_service_is_a_container_of_its_own_name_and_the_stores_are_not(tmp_path: Path) -> None:
    chosen = plan(Home(tmp_path / "box"), 0, {}, images="v7")
    found = by_name(units(chosen))
    names = set()
    for service in (*SERVICES, "stt_api"):
        argv = found[service].spec.argv
        assert argv[-1] == f"aldea/{service.replace('_', '-')}:v7"
        (name,) = [part for part in argv if part.startswith("--name=")]
        assert str(chosen.ports[BALANCER]) in name
        names.add(name)
        # What a killed client left is removed before the next start.
        assert found[service].prepare is not None
    assert len(names) == len(SERVICES) + 1
    for other in ("redis", "sqs", BALANCER):
        assert "--rm" not in found[other].spec.argv


def test_mails_are_written_into_a_folder_unless_a_server_is_given(tmp_path: Path) -> None:
    chosen = planned(tmp_path / "a b", {})
    url = MailUrl.of(by_name(units(chosen))["backend"].spec.env["MAIL_URL"])
    assert (url.scheme, Path(url.path)) == ("file", mail_folder(chosen.home))
    given = planned(tmp_path, {"MAIL_URL": "smtps://u:p@mail.example"})
    assert by_name(units(given))["backend"].spec.env["MAIL_URL"] == "smtps://u:p@mail.example"
