"""deepgram-captions on responses as they come: of recorded audio with and without utterances."""

import json
import os
import urllib.request
from pathlib import Path

from deepgram_captions import DeepgramConverter, srt, webvtt

for wire, query in (("captions", ""), ("captions of utterances", "&utterances=true&diarize=true")):
    request = urllib.request.Request(
        f"{os.environ['ALDEA_URL']}/v1/listen?smart_format=true{query}",
        Path("sample.wav").read_bytes(),
        {"Authorization": f"Token {os.environ['ALDEA_KEY']}", "Content-Type": "audio/wav"},
    )
    with urllib.request.urlopen(request) as response:
        found = json.load(response)
    converter = DeepgramConverter(found)
    assert webvtt(converter).startswith("WEBVTT")
    lines = [line for line in srt(converter).splitlines() if line and not line.isdigit() and "-->" not in line]
    transcript = " ".join(line for line in lines if not line.startswith("[speaker"))
    show = {"wire": wire, "request_id": found["metadata"]["request_id"], "transcript": transcript}
    print(json.dumps(show))
