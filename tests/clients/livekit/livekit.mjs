// LiveKit Agents for Node.js with its Deepgram plugin: live and turn-based.
import { readFileSync } from "node:fs";
import { initializeLogger, stt } from "@livekit/agents";
import { STT, STTv2 } from "@livekit/agents-plugin-deepgram";
import { AudioFrame } from "@livekit/rtc-node";

const FRAME_SAMPLES = 1600;
const ws = process.env.ALDEA_URL.replace("http", "ws");
initializeLogger({ pretty: false, level: "error" });

const live = new STT({ apiKey: process.env.ALDEA_KEY, baseUrl: ws });
await heard("live", live);
const turns = new STTv2({ apiKey: process.env.ALDEA_KEY, endpointUrl: `${ws}/v2/listen` });
await heard("turn-based", turns);
process.exit(0);

// As fast as it was spoken: the plugin reads no more than one message once its input has ended.
async function heard(wire, service) {
  const stream = service.stream();
  const words = [];
  const reading = (async () => {
    for await (const event of stream) {
      if (event.type === stt.SpeechEventType.FINAL_TRANSCRIPT) words.push(event.alternatives[0].text);
    }
  })();
  // Behind the WAV file's head of 44 bytes, and silence after it until the words are there.
  const samples = new Int16Array(new Uint8Array(readFileSync("sample.wav").subarray(44)).buffer);
  for (let at = 0; at < samples.length || (words.length === 0 && at < 4 * samples.length); at += FRAME_SAMPLES) {
    const piece = at < samples.length ? samples.slice(at, at + FRAME_SAMPLES) : new Int16Array(FRAME_SAMPLES);
    stream.pushFrame(new AudioFrame(piece, 16000, 1, piece.length));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  stream.endInput();
  await reading;
  console.log(JSON.stringify({ wire, transcript: words.join(" ") }));
}
