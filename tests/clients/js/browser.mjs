// A browser's own WebSocket (undici's is the same, by the same standard), with a short-lived token as subprotocol: live.
import { readFileSync } from "node:fs";
import { WebSocket } from "undici";

const url = process.env.ALDEA_URL;
const granted = await fetch(`${url}/v1/auth/grant`, { method: "POST", headers: { Authorization: `Token ${process.env.ALDEA_KEY}` } });
const { access_token: token } = await granted.json();

const socket = new WebSocket(`${url.replace("http", "ws")}/v1/listen?punctuate=true`, ["bearer", token]);
const words = [];
let id;
socket.onopen = () => {
  socket.send(readFileSync("sample.wav"));
  socket.send(JSON.stringify({ type: "CloseStream" }));
};
socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  if (message.type === "Results" && message.is_final) words.push(message.channel.alternatives[0].transcript);
  if (message.type === "Metadata") id = message.request_id;
};
socket.onclose = ({ code }) => {
  console.log(JSON.stringify({ wire: "live", request_id: id, transcript: words.join(" ") }));
  process.exit(code === 1000 ? 0 : 1);
};
