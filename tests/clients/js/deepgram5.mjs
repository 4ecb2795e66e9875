// @deepgram/sdk 5: recorded and live.
import { createReadStream, readFileSync } from "node:fs";
import { DeepgramClient } from "@deepgram/sdk";

const http = process.env.ALDEA_URL;
const ws = http.replace("http", "ws");
const client = new DeepgramClient({
  apiKey: process.env.ALDEA_KEY,
  environment: { base: http, production: ws, agent: ws, agentRest: http },
});

const found = await client.listen.v1.media.transcribeFile(createReadStream("sample.wav"), { model: "nova-3", punctuate: true });
show("recorded", found.metadata.request_id, found.results.channels[0].alternatives[0].transcript);

const connection = await client.listen.v1.connect({ model: "nova-3", interim_results: "true" });
connection.connect();
await connection.waitForOpen();
connection.sendMedia(readFileSync("sample.wav"));
connection.sendCloseStream({ type: "CloseStream" });
const words = [];
let id;
for await (const message of connection) {
  if (message.type === "Results" && message.is_final) words.push(message.channel.alternatives[0].transcript);
  if (message.type === "Metadata") id = message.request_id;
  if (message.type === "Metadata" && message.duration > 0) break;
}
show("live", id, words.join(" "));
process.exit(0);

function show(wire, request_id, transcript) {
  console.log(JSON.stringify({ wire, request_id, transcript }));
}
