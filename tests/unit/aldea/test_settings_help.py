import os
import subprocess
import sys

import pytest

from aldea.settings_help import settings_help, take_no_arguments
from onebox.home import ROOT
from tests.settings_document import SERVICES


@pytest.mark.parametrize("service", SERVICES)
def test_every_setting_is_in_the_help_with_its_default(service: str) -> None:
    said = settings_help(SERVICES[service])
    for name, field in SERVICES[service].model_fields.items():
        assert f"  {name.upper()}  (" in said
        assert (field.description or "").split()[0] in said
    required = said.count("(required)")
    assert required == sum(field.is_required() for field in SERVICES[service].model_fields.values())
    assert said.index("(required)") < said.index("(default") if required else True
    assert max(map(len, said.splitlines())) <= 130


@pytest.mark.parametrize(("columns", "at_most"), [("40", 40), ("400", 100), ("1", 30)])
def test_the_help_fits_the_terminal(columns: str, at_most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for settings in SERVICES.values():
        prose = [line for line in settings_help(settings).splitlines() if line.startswith("      ")]
        # A word that is longer, such as a list of addresses, is not cut.
        assert not [line for line in prose if len(line) > at_most and " " in line.strip()]


@pytest.mark.parametrize("arguments", [["--port", "80"], ["serve"]])
def test_what_is_no_setting_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        take_no_arguments("ws_proxy", SERVICES["ws_proxy"], arguments)
    assert refused.value.code == 2
    assert "unrecognized arguments" in capsys.readouterr().err


def test_each_program_shows_its_settings_without_having_any() -> None:
    programs = {
        name: subprocess.Popen(
            [sys.executable, "-m", name, "--help"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": "services:infra:."},
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for name in (*SERVICES, "onebox.balancer")
    }  # fmt: skip
    for name, program in programs.items():
        said, errors = program.communicate(timeout=110)
        assert program.returncode == 0, errors
        assert not errors
        assert "  PORT  (" in said, name
