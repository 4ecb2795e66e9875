"""The rules that a test can hold: who imports whom, a test for every source, requirements without a host."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {path.name for path in (ROOT / "services").iterdir() if (path / "__init__.py").exists()}
OURS = SERVICES | {"onebox", "aldea_infra", "benchmarks", "tests"}

# What each package may import of ours, beside itself. Services never import each other; aldea imports none of them.
ALLOWED = {
    **{service: {"aldea"} for service in SERVICES},
    "aldea": set(),
    "onebox": {"aldea", "aldea_infra"},
    "aldea_infra": set(),
}
FOLDERS = {
    **{service: ROOT / "services" / service for service in SERVICES},
    "onebox": ROOT / "onebox",
    "aldea_infra": ROOT / "infra" / "aldea_infra",
}


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "versions" not in path.parts)


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("package", sorted(FOLDERS))
def test_a_package_imports_only_what_the_layers_allow(package: str) -> None:
    for path in sources(FOLDERS[package]):
        ours = {name.split(".")[0] for name in imported(path)} & OURS - {package}
        assert ours <= ALLOWED[package], f"{path.relative_to(ROOT)} imports {sorted(ours - ALLOWED[package])}"


def test_the_routing_table_and_the_infra_package_import_no_pulumi() -> None:
    for name in ("__init__.py", "routing.py"):
        path = ROOT / "infra" / "aldea_infra" / name
        if path.exists():
            assert not {found for found in imported(path) if found.split(".")[0].startswith("pulumi")}


@pytest.mark.parametrize("package", sorted(SERVICES))
def test_every_source_file_of_a_service_has_its_unit_test(package: str) -> None:
    folder = FOLDERS[package]
    missing = []
    for path in sources(folder):
        if path.name in {"__init__.py", "__main__.py"} or "migrations" in path.parts:
            continue
        test = ROOT / "tests" / "unit" / package / path.relative_to(folder).parent / f"test_{path.name}"
        if not test.exists():
            missing.append(str(test.relative_to(ROOT)))
    assert not missing, f"write these: {missing}"


def test_requirements_are_hashed_and_name_no_host() -> None:
    files = sorted((ROOT / "requirements").glob("*.txt"))
    assert files
    for path in files:
        text = path.read_text()
        assert "://" not in text, f"{path.name} names a URL"
        assert "--index" not in text
        assert "--find-links" not in text
        for line in text.splitlines():
            if re.match(r"^[a-z0-9]", line):
                assert "==" in line, f"{path.name}: {line} is not pinned"
        assert text.count("--hash=sha256:") >= len(re.findall(r"^[a-z0-9].*==", text, re.MULTILINE))


def test_tracked_files_name_no_package_host_and_no_path_of_one_machine() -> None:
    hosts = ["files.python" + "hosted", "pypi" + ".org", "registry.npm" + "js", "deb.debian" + ".org", "/ro" + "ot/"]
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        path = ROOT / name
        if path.suffix in {".svg", ".png", ".wav", ".lock"} or not path.is_file():
            continue
        text = path.read_text(errors="replace")
        assert not [host for host in hosts if host in text], name


def test_background_tasks_start_only_through_the_one_helper() -> None:
    for package, folder in FOLDERS.items():
        for path in sources(folder):
            if path == ROOT / "services" / "aldea" / "tasks.py":
                continue
            assert "create_task(" not in path.read_text(), f"{package}: {path.name} bypasses aldea.tasks.spawn"


def test_rows_are_typed_before_they_leave_their_statement() -> None:
    """`aldea.rows.Query` makes a frozen dataclass of each: a record that is passed on has columns no checker knows."""
    its_own = {FOLDERS["aldea"] / "postgres.py", FOLDERS["backend"] / "schema" / "migrate.py"}  # types of connections
    for package in sorted(SERVICES):
        for path in sources(FOLDERS[package]):
            text = path.read_text()
            assert path in its_own or "asyncpg.Record" not in text, f"{package}: {path.name} passes records on"
            if path.name == "repository.py":
                passed_on = re.findall(r"def (?!\w*_query\b)(\w+)\([^()]*\) -> [^:\n]*\bAny\b", text)
                assert not passed_on, f"{path.relative_to(ROOT)}: {passed_on} have no types"


def test_redis_is_reached_only_through_the_link() -> None:
    """Whatever else made a client of its own would stay with a primary that became a replica."""
    for package in sorted(SERVICES):
        for path in sources(FOLDERS[package]):
            if path.parent == FOLDERS["aldea"] / "redis":
                continue
            text = path.read_text()
            for bypass in ("redis.Redis(", "redis.from_url(", ".from_pool(", "ConnectionPool", "._pool.client"):
                assert bypass not in text, f"{package}: {path.name} bypasses aldea.redis.link"


def test_errors_of_redis_have_their_names_from_aldea_redis() -> None:
    """Whoever imports redis-py before `aldea.redis` does brings OpenTelemetry into a process that does not export."""
    for package in sorted(SERVICES):
        for path in sources(FOLDERS[package]):
            if path.parent != FOLDERS["aldea"] / "redis":
                imported = re.search(
                    r"^(from redis\.exceptions import|from redis import|import redis$)", path.read_text(), re.MULTILINE
                )
                assert imported is None, f"{path.relative_to(ROOT)}: take it from aldea.redis.errors"


def test_no_client_of_redis_keeps_a_connection_of_its_own() -> None:
    """A deadline that passes while `client.client()` is left loses its connection: the library closes it too late."""
    used = "." + "client()"
    for folder in (ROOT / "services", ROOT / "onebox", ROOT / "tests", ROOT / "benchmarks"):
        for path in sources(folder):
            text = path.read_text()
            assert "redis" not in text or f"with client{used}" not in text, (
                f"{path.relative_to(ROOT)}: take one of the pool"
            )
            assert "single_connection_" + "client" not in text, f"{path.relative_to(ROOT)}: take one of the pool"
