"""The first request in three languages, ready to copy, with this deployment's own addresses."""

from dataclasses import dataclass
from typing import Final

from frontend.settings import FrontendSettings

# What stands in a snippet for the key, which no page shows a second time.
KEY_PLACEHOLDER: Final = "YOUR_API_KEY"

_CURL: Final = """\
curl "{http}/v1/listen?punctuate=true" \\
  -H "Authorization: Token {key}" \\
  -H "Content-Type: audio/wav" \\
  --data-binary @speech.wav
"""

_PYTHON: Final = """\
# pip install deepgram-sdk
from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment

here = DeepgramClientEnvironment(base="{http}", production="{ws}", agent="{ws}", agent_rest="{http}")
client = DeepgramClient(api_key="{key}", environment=here)

with open("speech.wav", "rb") as file:
    answer = client.listen.v1.media.transcribe_file(request=file.read(), punctuate=True)
print(answer.results.channels[0].alternatives[0].transcript)
"""

_JAVASCRIPT: Final = """\
// Node.js 22 or newer, without any package
import {{ readFile }} from "node:fs/promises";

const socket = new WebSocket("{ws}/v1/listen?interim_results=true", ["token", "{key}"]);
socket.onopen = async () => {{
  socket.send(await readFile("speech.wav"));
  socket.send(JSON.stringify({{ type: "CloseStream" }}));
}};
socket.onmessage = ({{ data }}) => {{
  const message = JSON.parse(data);
  if (message.type === "Results" && message.is_final) {{
    console.log(message.channel.alternatives[0].transcript);
  }}
}};
"""


@dataclass(frozen=True, slots=True)
class Snippet:
    """One language's first request. `name` is fit for an element's id."""

    name: str
    title: str
    text: str


def snippets(settings: FrontendSettings) -> tuple[Snippet, ...]:
    """All of them, for the addresses of `settings`."""
    values = {"http": settings.public_api_url, "ws": settings.public_ws_url, "key": KEY_PLACEHOLDER}
    return (
        Snippet("curl", "curl", _CURL.format(**values)),
        Snippet("python", "Python SDK", _PYTHON.format(**values)),
        Snippet("javascript", "JavaScript", _JAVASCRIPT.format(**values)),
    )
