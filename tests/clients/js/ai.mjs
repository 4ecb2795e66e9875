// The AI SDK with its Deepgram provider: recorded. The provider has a fixed address, so `fetch` puts ours in its place.
import { readFileSync } from "node:fs";
import { createDeepgram } from "@ai-sdk/deepgram";
import * as ai from "ai";

let id;
const deepgram = createDeepgram({
  apiKey: process.env.ALDEA_KEY,
  fetch: async (url, init) => {
    const { pathname, search } = new URL(url);
    const response = await fetch(process.env.ALDEA_URL + pathname + search, init);
    id = response.headers.get("dg-request-id");
    return response;
  },
});
const transcribe = ai.transcribe ?? ai.experimental_transcribe;
const found = await transcribe({ model: deepgram.transcription("nova-3"), audio: readFileSync("sample.wav") });
console.log(JSON.stringify({ wire: "recorded", request_id: id, transcript: found.text }));
