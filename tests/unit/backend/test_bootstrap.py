"""The key file of a bootstrap."""

import stat
from pathlib import Path

from backend.bootstrap import _read_secret, _write_secret


def test_a_key_file_is_readable_by_its_owner_only_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"
    assert _read_secret(path) == ""
    _write_secret(path, "org_abc")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert _read_secret(path) == "org_abc"
    _write_secret(path, "org_d")
    assert _read_secret(path) == "org_d"
