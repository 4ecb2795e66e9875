import ast
import shutil
import subprocess
from pathlib import Path

import pytest

from frontend.snippets import KEY_PLACEHOLDER, snippets
from tests.unit.frontend.conftest import settings


def texts() -> dict[str, str]:
    return {snippet.name: snippet.text for snippet in snippets(settings(public_api_url="https://api.example.com"))}


def test_every_snippet_has_this_deployments_address_and_a_place_for_the_key() -> None:
    for name, text in texts().items():
        assert "//api.example.com" in text, name
        assert KEY_PLACEHOLDER in text, name
        assert "{" not in text.replace("{ ", "").replace("() => {", "").replace("({", "") or name != "curl"


def test_the_python_snippet_is_python_and_the_shell_snippet_shell() -> None:
    ast.parse(texts()["python"])
    assert subprocess.run(["sh", "-n", "-c", texts()["curl"]], check=False).returncode == 0


def test_the_javascript_snippet_is_javascript(tmp_path: Path) -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("no node here")
    file = tmp_path / "snippet.mjs"
    file.write_text(texts()["javascript"])
    assert subprocess.run([node, "--check", str(file)], check=False).returncode == 0
