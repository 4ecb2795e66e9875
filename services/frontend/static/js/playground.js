// The playground: audio to the API over one WebSocket, words back onto the page.
import { Transcript, FORMATS, clock, textOf } from "./transcript.js";

const UNSURE = 0.6;
const CHUNK_BYTES = 32 * 1024;
// As much as may wait in the browser before the file is read on.
const BUFFERED_BYTES = 256 * 1024;
const CONNECT_MS = 15000;
// After CloseStream the server has this long to say its last words.
const FINISH_MS = 60000;

const byId = (id) => document.getElementById(id);
const place = byId("playground");
const record = byId("record");
const fileInput = byId("file");
const stage = document.querySelector(".stage");

let transcript = new Transcript();
let current = null;

const say = (state, text) => {
  byId("state").dataset.state = state;
  byId("state-text").textContent = text;
};

// --- the words on the page ---
const wordElement = (word) => {
  const element = document.createElement("span");
  element.className = word.confidence < UNSURE ? "word unsure" : "word";
  element.textContent = textOf(word);
  element.title = `${word.start.toFixed(2)}–${word.end.toFixed(2)} s · ${Math.round(word.confidence * 100)} % sure`;
  return element;
};

const show = () => {
  const list = byId("utterances");
  transcript.utterances.forEach((utterance, index) => {
    let row = list.children[index];
    if (!row || row.classList.contains("pending")) {
      row = document.createElement("li");
      const at = document.createElement("span");
      at.className = "at";
      at.textContent = clock(utterance.start);
      row.append(at, document.createElement("span"));
      list.insertBefore(row, list.children[index] ?? null);
    }
    const words = row.lastElementChild;
    for (const word of utterance.words.slice(words.childElementCount)) words.append(wordElement(word), " ");
  });
  list.querySelector(".pending")?.remove();
  if (transcript.interim) {
    const row = document.createElement("li");
    row.className = "pending";
    row.ariaHidden = "true";
    const at = document.createElement("span");
    at.className = "at";
    at.textContent = "…";
    const words = document.createElement("span");
    words.className = "interim";
    words.textContent = transcript.interim;
    row.append(at, words);
    list.append(row);
  }
  list.parentElement.scrollTop = list.scrollHeight;
  byId("nothing").hidden = list.childElementCount > 0;
};

const showRequest = (id) => {
  const fact = byId("fact-request");
  if (fact.textContent === (id || "—")) return;
  fact.textContent = id ? "" : "—";
  if (!id) return;
  const link = document.createElement("a");
  link.href = `${place.dataset.requests}/${id}`;
  link.textContent = id;
  fact.append(link);
};

const facts = () => {
  byId("fact-audio").textContent = transcript.duration ? `${transcript.duration.toFixed(1)} s` : "—";
  byId("fact-words").textContent = transcript.words.length || "—";
  byId("fact-confidence").textContent = transcript.confidence === null ? "—" : `${Math.round(transcript.confidence * 100)} %`;
  showRequest(transcript.requestId);
  for (const button of document.querySelectorAll("[data-download]")) button.disabled = !transcript.words.length;
};

// --- the level ---
const canvas = byId("level");
let levels = [];
const drawLevel = () => {
  const ratio = devicePixelRatio;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== width * ratio) canvas.width = width * ratio;
  if (canvas.height !== height * ratio) canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const bars = Math.floor(width / 6);
  const from = levels.length - bars;
  // Colours that depend on the theme are computed where properties use them.
  const { color: loud, borderTopColor: quiet } = getComputedStyle(canvas);
  for (let bar = 0; bar < bars; bar += 1) {
    const level = levels[from + bar] ?? 0;
    const size = Math.max(3, Math.min(1, level * 1.6) * height);
    pen.fillStyle = level > 0.02 ? loud : quiet;
    pen.beginPath();
    pen.roundRect(bar * 6, (height - size) / 2, 3, size, 1.5);
    pen.fill();
  }
};
let drawing = false;
const pushLevel = (level) => {
  levels.push(level);
  if (levels.length > 600) levels = levels.slice(-400);
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; drawLevel(); });
};
new ResizeObserver(drawLevel).observe(canvas);
document.addEventListener("theme-changed", drawLevel);

// --- one stream ---
const token = async () => {
  const headers = JSON.parse(document.body.getAttribute("hx-headers"));
  const response = await fetch(place.dataset.token, { method: "POST", headers, signal: AbortSignal.timeout(CONNECT_MS) });
  if (!response.ok) throw new Error("The console could not get a token for the stream. Load the page again.");
  return (await response.json()).access_token;
};

const reasonOf = (event) => {
  if (event.code === 1008) return `The stream was ended: ${event.reason || "its access or its quota is used up"}.`;
  if (event.code === 1012) return "The service restarts. Start again in a moment.";
  if (event.code === 1006) return "The API refused the stream or the connection broke. Look at the limits on the overview, then try again.";
  return `The stream ended early (${event.code}${event.reason ? `, ${event.reason}` : ""}). Try again.`;
};

class Stream {
  constructor(query) {
    this.query = query;
    this.firstSent = 0;
  }

  async open() {
    const url = `${place.dataset.ws}/v1/listen?${new URLSearchParams(this.query)}`;
    const socket = new WebSocket(url, ["bearer", await token()]);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    this.closed = new Promise((resolve) => socket.addEventListener("close", resolve, { once: true }));
    socket.addEventListener("message", ({ data }) => this.take(JSON.parse(data)));
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => socket.close(), CONNECT_MS);
      socket.addEventListener("open", () => { clearTimeout(late); resolve(); }, { once: true });
      this.closed.then((event) => { clearTimeout(late); reject(new Error(reasonOf(event))); });
    });
  }

  take(message) {
    if (!transcript.take(message)) return facts();
    if (this.firstSent && (transcript.interim || transcript.words.length)) {
      byId("fact-first").textContent = `${((performance.now() - this.firstSent) / 1000).toFixed(2)} s`;
      this.firstSent = 0;
      this.timed = true;
    }
    show();
    return facts();
  }

  send(audio) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    if (!this.firstSent && !this.timed) this.firstSent = performance.now();
    this.socket.send(audio);
  }

  async drained() {
    while (this.socket.readyState === WebSocket.OPEN && this.socket.bufferedAmount > BUFFERED_BYTES) {
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    return this.socket.readyState === WebSocket.OPEN;
  }

  async finish() {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "CloseStream" }));
    const late = setTimeout(() => this.socket.close(), FINISH_MS);
    const event = await this.closed;
    clearTimeout(late);
    return event;
  }
}

const begin = () => {
  transcript = new Transcript();
  levels = [];
  byId("utterances").replaceChildren();
  byId("fact-first").textContent = "—";
  byId("nothing").hidden = false;
  facts();
  drawLevel();
};

const settle = (event) => {
  transcript.interim = "";
  show();
  facts();
  const heard = `${transcript.words.length} words in ${transcript.duration.toFixed(1)} s of audio.`;
  if (event.code === 1000) say("done", transcript.words.length ? heard : "No words were heard. Is it the right microphone?");
  else say("fault", reasonOf(event));
};

const wanted = () => ({ interim_results: "true", punctuate: String(byId("punctuate").checked), tag: "playground" });

// --- the microphone ---
const MICROPHONE_FAULTS = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it beside the address, or choose a file.",
  NotFoundError: "No microphone was found. Plug one in, or choose a file.",
  NotReadableError: "Another program uses the microphone. Close it, or choose a file.",
  TypeError: "The browser gives its microphone only to a page that came by HTTPS. Choose a file.",
};

const microphone = async () => {
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false } });
  } catch (error) {
    throw new Error(MICROPHONE_FAULTS[error.name] ?? error.message);
  }
};

const speak = async () => {
  say("wait", "Asking for the microphone …");
  const media = await microphone();
  const context = new AudioContext();
  const stream = new Stream({ encoding: "linear16", sample_rate: "16000", channels: "1", ...wanted() });
  try {
    await context.audioWorklet.addModule(place.dataset.worklet);
    await stream.open();
    const worklet = new AudioWorkletNode(context, "pcm", { numberOfOutputs: 0 });
    worklet.port.onmessage = ({ data }) => {
      pushLevel(data.peak);
      stream.send(data.pcm);
    };
    context.createMediaStreamSource(media).connect(worklet);
    const began = performance.now();
    const ticking = setInterval(() => say("live", `Listening · ${clock((performance.now() - began) / 1000)}`), 250);
    const stopped = new Promise((resolve) => { current.stop = resolve; });
    await Promise.race([stopped, stream.closed]);
    clearInterval(ticking);
    worklet.port.onmessage = null;
    say("wait", "Waiting for the last words …");
    settle(await stream.finish());
  } finally {
    for (const track of media.getTracks()) track.stop();
    await context.close();
    stream.socket?.close();
  }
};

// --- a file ---
const read = async (file, at) => {
  try {
    return await file.slice(at, at + CHUNK_BYTES).arrayBuffer();
  } catch {
    throw new Error(`The browser cannot read ${file.name}. Is it a folder, or was it moved? Choose a file.`);
  }
};

const transcribe = async (file) => {
  const stream = new Stream(wanted());
  say("wait", "Connecting …");
  try {
    await stream.open();
    let stopped = false;
    current.stop = () => { stopped = true; };
    for (let at = 0; at < file.size && !stopped && await stream.drained(); at += CHUNK_BYTES) {
      const chunk = await read(file, at);
      stream.send(chunk);
      const bytes = new Int8Array(chunk);
      for (let i = 0; i < bytes.length; i += 2048) pushLevel(Math.abs(bytes[i + 1] ?? 0) / 128);
      say("live", `Sending ${file.name} · ${Math.round(100 * Math.min(1, (at + CHUNK_BYTES) / file.size))} %`);
    }
    say("live", `Listening to ${file.name} …`);
    settle(await stream.finish());
  } finally {
    stream.socket?.close();
  }
};

const run = async (work) => {
  if (current) return;
  current = { stop: () => {} };
  begin();
  record.setAttribute("aria-pressed", "true");
  byId("record-label").textContent = "Stop";
  fileInput.disabled = true;
  try {
    await work();
  } catch (error) {
    say("fault", error.message);
  } finally {
    current = null;
    record.setAttribute("aria-pressed", "false");
    byId("record-label").textContent = "Start speaking";
    fileInput.disabled = false;
    fileInput.value = "";
  }
};

record.addEventListener("click", () => (current ? current.stop() : run(speak)));
fileInput.addEventListener("change", () => {
  const [file] = fileInput.files;
  if (file) run(() => transcribe(file));
});

// A file may be dropped anywhere on the page: beside the stage the browser would leave the page to show it.
const carriesFile = (event) => event.dataTransfer.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!carriesFile(event)) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = current ? "none" : "copy";
  stage.classList.toggle("over", !current);
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) stage.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  if (!carriesFile(event)) return;
  event.preventDefault();
  stage.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) run(() => transcribe(file));
});

for (const button of document.querySelectorAll("[data-download]")) {
  button.addEventListener("click", () => {
    const format = button.dataset.download;
    const { type, write } = FORMATS[format];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([write(transcript)], { type }));
    link.download = `transcript.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}

drawLevel();
