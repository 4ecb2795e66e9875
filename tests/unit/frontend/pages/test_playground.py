import json
import shutil
import subprocess

import pytest

from frontend.assets import STATIC
from tests.fakes.platform_api import PROJECT, SESSION, TOKEN, refusal
from tests.unit.frontend.conftest import Console

RESULTS = """
import { Transcript, FORMATS } from "%s";
const word = (word, start, end) => ({ word, start, end, confidence: 0.5, punctuated_word: word + "." });
const results = (words, start, more = {}) => ({
  type: "Results", start, duration: 1, is_final: true, speech_final: true, metadata: { request_id: "r1" },
  channel: { alternatives: [{ transcript: words.map((w) => w.word).join(" "), words }] }, ...more,
});
const transcript = new Transcript();
transcript.take({ type: "Metadata", request_id: "r1", duration: 0 });
transcript.take(results([word("hel", 0.1, 0.4)], 0, { is_final: false }));
const interim = transcript.interim;
transcript.take(results([word("hello", 0.1, 0.4)], 0, { speech_final: false }));
transcript.take(results([word("world", 0.5, 0.9)], 0.5));
transcript.take(results([], 1.5));
transcript.take(results(Array.from({ length: 14 }, (_, i) => word("w" + i, 3661 + i / 10, 3661.05 + i / 10)), 3661));
const files = Object.fromEntries(Object.entries(FORMATS).map(([name, format]) => [name, format.write(transcript)]));
console.log(JSON.stringify({ interim, after: transcript.interim, rows: transcript.utterances.length, files }));
"""


async def test_the_page_knows_where_to_stream_and_holds_no_key_and_no_token(signed_in: Console) -> None:
    page = await signed_in.get(signed_in.project("playground"))
    assert 'data-ws="ws://api.localhost:8080"' in page.text
    assert SESSION not in page.text
    assert "ats_" not in page.text


async def test_a_token_is_short_lived_for_this_project_and_given_only_to_our_own_page(signed_in: Console) -> None:
    path = signed_in.project("playground/token")
    assert (await signed_in.post(path, token="forged")).status == 403
    response = await signed_in.submit(path)
    assert json.loads(response.text) == {"access_token": TOKEN, "expires_in": 60}
    assert response.headers["Cache-Control"] == "no-store"
    assert signed_in.api.sent("POST", "/auth/grant") == {"ttl_seconds": 60, "project_id": PROJECT}


async def test_a_token_that_the_api_refuses_is_not_made_up(signed_in: Console) -> None:
    signed_in.api.refuse["/auth/grant"] = lambda: refusal(403, "INSUFFICIENT_PERMISSIONS", "Suspended.")
    response = await signed_in.submit(signed_in.project("playground/token"))
    assert response.status == 403
    assert "access_token" not in response.text


def test_words_turn_final_and_are_saved_as_text_subtitles_and_json() -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("no node here")
    program = RESULTS % (STATIC / "js" / "transcript.js").as_uri()
    done = subprocess.run([node, "--input-type=module", "-e", program], capture_output=True, text=True, check=True)
    outcome = json.loads(done.stdout)
    assert (outcome["interim"], outcome["after"], outcome["rows"]) == ("hel", "", 2)
    files = outcome["files"]
    assert files["txt"].splitlines()[0] == "hello. world."
    cues = files["srt"].split("\n\n")
    assert cues[0] == "1\n00:00:00,100 --> 00:00:00,900\nhello. world."
    assert cues[1].startswith("2\n01:01:01,000 --> 01:01:02,150\n")
    assert len(cues) == 3, "fourteen words are more than one subtitle"
    saved = json.loads(files["json"])
    assert saved["request_id"] == "r1"
    assert saved["utterances"][0]["transcript"] == "hello. world."
    assert saved["utterances"][0]["words"][0]["confidence"] == 0.5
