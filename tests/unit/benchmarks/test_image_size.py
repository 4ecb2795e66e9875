import marshal
from pathlib import Path

from benchmarks.image_size import ADDED, ROOT, SERVICES, compiled_bytes, installed_bytes, required


def test_the_packages_of_every_image_are_read_from_its_requirements() -> None:
    assert required("# via x\nav==1.0 \\\n    --hash=sha256:00\nPy-Y.z==2 ; sys_platform == 'linux'\nav==2.0 \\\n") == [
        "av",
        "Py-Y.z",
    ]
    for service in SERVICES:
        assert required((ROOT / "requirements" / f"{service}.txt").read_text())
    assert ADDED == {"stt_api": ("moonshine",)}


def test_a_package_that_is_not_installed_adds_nothing() -> None:
    assert installed_bytes("no-such-package-at-all") == 0
    assert installed_bytes("iniconfig") > 1000


def test_sources_are_counted_compiled_too(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("x = 1\n")
    assert compiled_bytes(source) == 16 + len(marshal.dumps(compile("x = 1\n", str(source), "exec")))
    source.write_text("x = (\n")
    assert compiled_bytes(source) == 0
