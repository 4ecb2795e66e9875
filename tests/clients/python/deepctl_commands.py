"""deepctl: recorded with captions (by deepgram-captions), live from stdin, and its commands of management."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DEEPCTL = str(Path(sys.executable).with_name("deepctl"))
HOME = tempfile.mkdtemp()
ENVIRONMENT = {
    **os.environ, "DEEPGRAM_BASE_URL": os.environ["ALDEA_URL"], "DEEPGRAM_API_KEY": os.environ["ALDEA_KEY"],
    "DEEPCTL_TELEMETRY_DISABLED": "1", "HOME": HOME, "COLUMNS": "200",
}  # fmt: skip
GUEST = "{visitor}@example.com"


def run(*arguments: str, audio: bytes | None = None) -> str:
    done = subprocess.run(
        [DEEPCTL, "--non-interactive", *arguments], env=ENVIRONMENT, input=audio, capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(f"deepctl {' '.join(arguments)}: {done.stdout.decode()[-500:]} {done.stderr.decode()[-500:]}")
    return done.stdout.decode()


def called(*arguments: str) -> dict[str, Any]:
    text = run("-o", "json", *arguments)
    found: dict[str, Any] = json.loads(text[text.index("{") :])
    return found


def show(wire: str, **found: object) -> None:
    print(json.dumps({"wire": wire, **found}), flush=True)


def words_of(captions: str) -> str:
    lines = [line for line in captions.splitlines() if line and not line.isdigit() and "-->" not in line]
    return " ".join(line for line in lines if not line.startswith("[speaker"))


def main() -> None:
    recorded = called("listen", "sample.wav")
    transcript = recorded["results"]["channels"][0]["alternatives"][0]["transcript"]
    show("recorded", request_id=recorded["metadata"]["request_id"], transcript=transcript)
    # Without --diarize deepctl 0.4.0 makes none: it takes a speaker that is null for one.
    captions = Path(HOME) / "sample.srt"
    run("listen", "sample.wav", "--srt", "--diarize", "--save-to", str(captions))
    text = captions.read_text()
    assert "00:00:00," in text, text
    show("captions", transcript=words_of(text))
    with open("sample.wav", "rb") as audio:  # noqa: PTH123 - a stream of bytes
        audio.seek(44)
        live = run("listen", "-", "--encoding", "linear16", "--sample-rate", "16000", audio=audio.read())
    show("live", transcript=live.partition("{")[0])

    project = called("projects", "-l")["projects"][0]["project_id"]
    of = ("-p", project)
    assert called("projects", "-s", project)["count"] == 1
    assert called("whoami")["authenticated"]
    assert called("models")["models"][0]["name"]
    key = called("keys", "-c", "--comment", "x", "--ttl", "300", "--tags", "a,b", "--scopes", "usage:read", *of)
    key_id = key["created_key"]["key_id"]
    assert called("keys", "-s", key_id, *of)
    assert key_id in [one["key_id"] for one in called("keys", "-l", *of)["keys"]]
    called("keys", "-d", key_id, "--yes", *of)
    assert called("members", "-l", *of)["members"][0]["email"]
    called("members", "-i", GUEST, "--scope", "member", *of)
    assert called("members", "--invites", *of)["invites"] == [{"email": GUEST, "scope": "member"}]
    called("members", "--revoke-invite", GUEST, "--yes", *of)
    listed = called("requests", "--endpoint", "listen", "--status", "succeeded", *of)["requests"]
    assert listed[0]["method"], listed
    assert listed[0]["duration"] > 0, listed
    assert called("requests", "-s", recorded["metadata"]["request_id"], *of)["detail"]["request"]["response"]
    day = listed[0]["created"][:10]
    assert called("usage", "-s", day, "-e", f"{day}T23:59:59Z", *of)["buckets"]
    assert called("usage", "--last-week", "--summary", *of)["buckets"]
    assert called("billing", "-b", *of)["balances"][0]["amount"]
    assert called("billing", "--breakdown", "--grouping", "line_item", *of)["breakdown"]["results"]
    show("management", commands=18)


if __name__ == "__main__":
    main()
