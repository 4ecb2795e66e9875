"""deepgram-captions on a response as it comes: of its utterances, and of its words alone."""

import json
import os
import urllib.request
from pathlib import Path

from deepgram_captions import DeepgramConverter, srt, webvtt

request = urllib.request.Request(
    f"{os.environ['ALDEA_URL']}/v1/listen?smart_format=true&utterances=true&diarize=true",
    Path("sample.wav").read_bytes(),
    {"Authorization": f"Token {os.environ['ALDEA_KEY']}", "Content-Type": "audio/wav"},
)
with urllib.request.urlopen(request) as response:
    found = json.load(response)
for wire in ("captions of utterances", "captions"):
    converter = DeepgramConverter(found)
    assert webvtt(converter).startswith("WEBVTT")
    lines = [line for line in srt(converter).splitlines() if line and not line.isdigit() and "-->" not in line]
    transcript = " ".join(line for line in lines if not line.startswith("[speaker"))
    print(json.dumps({"wire": wire, "request_id": found["metadata"]["request_id"], "transcript": transcript}))
    found["results"].pop("utterances", None)
