import gzip
from pathlib import Path

import pytest

from frontend.assets import FOR_EVER, FOR_NOW, STATIC, Assets
from tests.unit.frontend.conftest import Console


async def test_a_file_is_kept_for_ever_under_the_address_of_its_content(console: Console) -> None:
    url = Assets().url("css/tokens.css")
    kept = await console.get(url)
    assert kept.headers["Cache-Control"] == FOR_EVER
    assert kept.headers["Content-Type"] == "text/css; charset=utf-8"
    assert kept.text == (STATIC / "css" / "tokens.css").read_text()


async def test_another_versions_address_is_served_but_not_kept(console: Console) -> None:
    other = await console.get("/static/000000000000/css/tokens.css")
    assert (other.status, other.headers["Cache-Control"]) == (200, FOR_NOW)


async def test_text_is_sent_compressed_to_whoever_takes_it(console: Console) -> None:
    url = Assets().url("js/app.js")
    async with console.client.get(url, headers={"Accept-Encoding": "gzip"}) as response:
        assert response.headers["Content-Encoding"] == "gzip"
    async with console.client.get(url, headers={"Accept-Encoding": "identity"}) as response:
        assert "Content-Encoding" not in response.headers


async def test_nothing_outside_the_folder_is_served(console: Console) -> None:
    for path in ("/static/x/../app.py", "/static/x/%2e%2e/app.py", "/static/x/vendor/README.md", "/static/x/"):
        assert (await console.get(path)).status == 404


def test_the_version_changes_with_any_files_content(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    before = Assets(tmp_path)
    (tmp_path / "a.js").write_text("2")
    assert before.version != Assets(tmp_path).version


def test_a_template_that_names_a_missing_file_fails() -> None:
    with pytest.raises(KeyError, match=r"no-such\.js"):
        Assets().url("js/no-such.js")


def test_every_vendored_library_stands_beside_its_licence_and_names_no_cdn() -> None:
    for folder in (STATIC / "vendor").iterdir():
        if folder.is_dir():
            assert (folder / "LICENSE").stat().st_size > 200, folder.name


def test_the_first_page_stays_below_its_budget() -> None:
    # What the login page loads: styles, font, script, icons. 150 kB over the wire, page included.
    names = ["css/tokens.css", "css/base.css", "css/parts.css", "js/app.js", "logo.svg", "vendor/lucide/icons.svg"]
    total = sum(len(gzip.compress((STATIC / name).read_bytes())) for name in names)
    total += (STATIC / "vendor/inter/inter-latin-wght-normal.woff2").stat().st_size
    assert total < 120_000
