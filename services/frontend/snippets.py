"""The first request in three languages, ready to copy, with this deployment's own addresses.

Each of them sends a file of any size, says what went wrong, and then ends with another status than 0.
"""

from dataclasses import dataclass
from typing import Final

from frontend.settings import FrontendSettings

# What a snippet shows where there is no new key: no page shows one a second time.
KEY_PLACEHOLDER: Final = "YOUR_API_KEY"

# An upload (-T) is sent as it is read; --data-binary would read the whole file first, and send nothing for none.
_CURL: Final = """\
curl --fail-with-body -X POST "{http}/v1/listen?punctuate=true" \\
  -H "Authorization: Token {key}" \\
  -H "Content-Type: audio/wav" \\
  -T speech.wav
"""

_PYTHON: Final = """\
# pip install deepgram-sdk
from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment

here = DeepgramClientEnvironment(base="{http}", production="{ws}", agent="{ws}", agent_rest="{http}")
client = DeepgramClient(api_key="{key}", environment=here)

with open("speech.wav", "rb") as file:
    response = client.listen.v1.media.transcribe_file(
        request=file.read(), punctuate=True, request_options={{"timeout_in_seconds": 600}}
    )
print(response.results.channels[0].alternatives[0].transcript)
"""

# A message has an upper bound, and what is not yet sent is kept in memory: small pieces, and a bound for those waiting.
_JAVASCRIPT: Final = """\
// Node.js 22 or newer, without any package: save it as transcribe.mjs, then: node transcribe.mjs
import {{ createReadStream }} from "node:fs";
import {{ setTimeout as sleep }} from "node:timers/promises";

const pieces = createReadStream("speech.wav", {{ highWaterMark: 32 * 1024 }});
const socket = new WebSocket("{ws}/v1/listen?interim_results=true", ["token", "{key}"]);

socket.onopen = async () => {{
  for await (const piece of pieces) {{
    while (socket.bufferedAmount > 256 * 1024) await sleep(20);
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send(piece);
  }}
  socket.send(JSON.stringify({{ type: "CloseStream" }}));
}};
socket.onmessage = ({{ data }}) => {{
  const message = JSON.parse(data);
  if (message.type === "Results" && message.is_final) {{
    console.log(message.channel.alternatives[0].transcript);
  }}
}};
socket.onerror = (event) => {{
  console.error("Connection failed:", event.message || "no details", "- is the API key right?");
  process.exitCode = 1;
}};
socket.onclose = ({{ code, reason }}) => {{
  if (code === 1000) return;
  console.error(`Closed with code ${{code}}: ${{reason || "no reason given"}}`);
  process.exit(1);
}};
"""


@dataclass(frozen=True, slots=True)
class Snippet:
    """One language's first request. `name` is fit for an element's id."""

    name: str
    title: str
    text: str


def snippets(settings: FrontendSettings, key: str = KEY_PLACEHOLDER) -> tuple[Snippet, ...]:
    """All of them, for the addresses of `settings`. `key`: a new key's text, on the one page that shows it."""
    values = {"http": settings.public_api_url, "ws": settings.public_ws_url, "key": key}
    return (
        Snippet("curl", "curl", _CURL.format(**values)),
        Snippet("python", "Python SDK", _PYTHON.format(**values)),
        Snippet("javascript", "JavaScript", _JAVASCRIPT.format(**values)),
    )
