"""Files on the command line: words, captions, JSON, and a sentence for each file that cannot be used."""

import json
from pathlib import Path

import pytest

from tests.fakes.platform import FakePlatform
from tests.unit.aldea.cli.commands import Command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    path.write_bytes(b"RIFF" + bytes(400_000))
    return path


async def test_a_files_words_are_printed_and_two_files_are_distinguished(
    command: Command, url: str, file: Path, platform: FakePlatform
) -> None:
    ran = await command("transcribe", str(file), "--url", url)
    assert (ran.status, ran.output, ran.errors) == (0, "good morning\n", "")
    assert platform.bodies == [file.read_bytes()]
    ran = await command("transcribe", str(file), str(file), "--url", url, "-p", "tag=a b", "--model", "m")
    assert ran.output == f"{file}:\ngood morning\n" * 2
    assert platform.queries[-1] == {"punctuate": "true", "tag": "a b", "model": "m"}


async def test_a_parameter_that_had_no_effect_is_said_beside_the_words(
    command: Command, url: str, file: Path, platform: FakePlatform
) -> None:
    platform.warnings = [{"parameter": "language", "message": "language: de is not here."}]
    ran = await command("transcribe", str(file), "--url", url, "-p", "language=de")
    assert (ran.status, ran.output) == (0, "good morning\n")
    assert ran.errors == f"aldea: {file}: language: de is not here.\n"


@pytest.mark.parametrize("unused", [("-p", "tag=x"), ("--model", "m")])
@pytest.mark.parametrize("form", ["--srt", "--vtt"])
async def test_what_captions_cannot_take_is_refused_not_left_out(
    command: Command, url: str, file: Path, platform: FakePlatform, unused: tuple[str, str], form: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        await command("transcribe", str(file), "--url", url, form, *unused)
    assert ended.value.code == 2
    assert platform.keys == []


async def test_json_is_the_response_as_it_is(command: Command, url: str, file: Path) -> None:
    ran = await command("transcribe", str(file), "--url", url, "--json")
    assert json.loads(ran.output)["metadata"] == {"duration": 1.0}


@pytest.mark.parametrize("form", ["srt", "vtt"])
async def test_captions_are_requested_as_such(
    command: Command, url: str, file: Path, platform: FakePlatform, form: str
) -> None:
    ran = await command("transcribe", str(file), "--url", url, f"--{form}")
    assert (ran.status, ran.output) == (0, f"{form} of good morning\n")
    assert platform.bodies == [file.read_bytes()]


async def test_a_file_that_cannot_be_used_is_named_and_the_others_are_transcribed(
    command: Command, url: str, file: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    ran = await command("transcribe", str(tmp_path), "/no\x00where", "/nowhere", str(empty), str(file), "--url", url)
    assert ran.status == 1
    assert ran.output == f"{file}:\ngood morning\n"
    lines = ran.errors.splitlines()
    assert [line.rpartition(": ")[2] for line in (lines[0], *lines[2:])] == [
        "this is a folder. Name the files in it.", "there is no such file.", "the file is empty.",
    ]  # fmt: skip
    assert "cannot be read" in lines[1]
    assert len(lines) == 4


async def test_a_refusal_is_its_own_sentence(command: Command, url: str, file: Path, platform: FakePlatform) -> None:
    platform.refuse = 401
    ran = await command("transcribe", str(file), "--url", url)
    assert (ran.status, ran.errors) == (1, f"aldea: {file}: The response has status 401. Said why.\n")


async def test_nobody_there_and_somebody_else_there_are_a_sentence_each(
    command: Command, url: str, file: Path, platform: FakePlatform
) -> None:
    ran = await command("transcribe", str(file), "--url", "http://127.0.0.1:1")
    assert ran.status == 1
    assert "No connection to http://127.0.0.1:1" in ran.errors
    platform.upload_body = b"<html>"
    ran = await command("transcribe", str(file), "--url", url)
    assert "the response is not a transcript. Is the address the API's?" in ran.errors
