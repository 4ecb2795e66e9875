// @deepgram/sdk 3 and 4: recorded and live. The argument names the package.
import { readFileSync } from "node:fs";

const { createClient, LiveTranscriptionEvents } = await import(process.argv[2]);
const client = createClient(process.env.ALDEA_KEY, { global: { fetch: { options: { url: process.env.ALDEA_URL } }, websocket: { options: { url: process.env.ALDEA_URL.replace("http", "ws") } } } });

const { result, error } = await client.listen.prerecorded.transcribeFile(readFileSync("sample.wav"), { model: "nova-3", punctuate: true });
if (error) throw error;
show("recorded", result.metadata.request_id, result.results.channels[0].alternatives[0].transcript);

const connection = client.listen.live({ model: "nova-3", interim_results: true });
const words = [];
let id;
connection.on(LiveTranscriptionEvents.Open, () => {
  connection.send(readFileSync("sample.wav"));
  connection.requestClose();
});
connection.on(LiveTranscriptionEvents.Transcript, (message) => {
  if (message.is_final) words.push(message.channel.alternatives[0].transcript);
});
connection.on(LiveTranscriptionEvents.Metadata, (message) => (id = message.request_id));
connection.on(LiveTranscriptionEvents.Error, (failure) => {
  console.error(failure);
  process.exit(1);
});
connection.on(LiveTranscriptionEvents.Close, () => {
  show("live", id, words.join(" "));
  process.exit(0);
});

function show(wire, request_id, transcript) {
  console.log(JSON.stringify({ wire, request_id, transcript }));
}
