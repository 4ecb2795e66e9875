"""deepctl: recorded with captions (by deepgram-captions), live from stdin, and its commands of management."""

import json
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

HOME = tempfile.mkdtemp()
os.environ |= {
    "DEEPGRAM_BASE_URL": os.environ["ALDEA_URL"], "DEEPGRAM_API_KEY": os.environ["ALDEA_KEY"],
    "DEEPCTL_TELEMETRY_DISABLED": "1", "HOME": HOME, "COLUMNS": "200",
}  # fmt: skip

from deepctl.main import main as deepctl  # noqa: E402 - it reads the environment

# What each of its commands imports, imported once: half of the time that a command takes.
for _module in (
    "httpcore",
    "keyring",
    "deepgram.listen.v1.client",
    "deepgram.manage.v1.client",
    "websockets.sync.client",
):
    import_module(_module)

GUEST = "{visitor}@example.com"


def run(*arguments: str, audio: bytes = b"") -> str:
    """What the command `deepctl` prints in a process of its own, which has imported already what each of them does."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as noted:
        given.write(audio)
        given.seek(0)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for opened, standard in ((given, 0), (printed, 1), (noted, 2)):
                    os.dup2(opened.fileno(), standard)
                sys.stdin = os.fdopen(0)
                sys.argv = ["deepctl", "--non-interactive", *arguments]
                deepctl()
                status = 0
            except SystemExit as left:
                status = int(left.code or 0)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        printed.seek(0)
        noted.seek(0)
        text, notes = printed.read().decode(), noted.read().decode()
    if status:
        sys.exit(f"deepctl {' '.join(arguments)}: status {status}: {text[-1000:]} {notes[-1000:]}")
    return text


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
    assert {"email": GUEST, "scope": "member"} in called("members", "--invites", *of)["invites"]
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
