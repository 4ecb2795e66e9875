// A transcript in the making, and what it can be saved as. Touches neither the page nor the network.

// A subtitle that is longer than this cannot be read in its time.
const CUE_SECONDS = 6;
const CUE_WORDS = 12;

export class Transcript {
  constructor() {
    this.utterances = [];
    this.interim = "";
    this.requestId = "";
    this.duration = 0;
    this.open = false;
  }

  // Takes one message of the server; true if the words changed.
  take(message) {
    if (message.type === "Metadata") {
      this.requestId = message.request_id ?? this.requestId;
      this.duration = Math.max(this.duration, message.duration ?? 0);
      return false;
    }
    if (message.type !== "Results") return false;
    this.requestId = message.metadata?.request_id ?? this.requestId;
    this.duration = Math.max(this.duration, message.start + message.duration);
    const best = message.channel.alternatives[0] ?? { transcript: "", words: [] };
    if (!message.is_final) {
      this.interim = best.transcript;
      return true;
    }
    this.interim = "";
    if (best.words.length) {
      if (!this.open) this.utterances.push({ start: best.words[0].start, end: 0, words: [] });
      const utterance = this.utterances.at(-1);
      utterance.words.push(...best.words);
      utterance.end = best.words.at(-1).end;
      this.open = true;
    }
    if (message.speech_final) this.open = false;
    return true;
  }

  get words() {
    return this.utterances.flatMap((utterance) => utterance.words);
  }

  get confidence() {
    const words = this.words;
    return words.length ? words.reduce((sum, word) => sum + word.confidence, 0) / words.length : null;
  }
}

export const textOf = (word) => word.punctuated_word ?? word.word;
const line = (words) => words.map(textOf).join(" ");

export const clock = (seconds) => {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
};

const timestamp = (seconds) => {
  const ms = Math.round(seconds * 1000);
  const part = (size, modulo, digits) => String(Math.floor(ms / size) % modulo).padStart(digits, "0");
  return `${part(3600000, 100, 2)}:${part(60000, 60, 2)}:${part(1000, 60, 2)},${part(1, 1000, 3)}`;
};

const cues = (words) => {
  const found = [];
  for (const word of words) {
    const cue = found.at(-1);
    if (!cue || cue.length >= CUE_WORDS || word.end - cue[0].start > CUE_SECONDS) found.push([word]);
    else cue.push(word);
  }
  return found;
};

export const FORMATS = {
  txt: {
    type: "text/plain",
    write: (transcript) => `${transcript.utterances.map(({ words }) => line(words)).join("\n")}\n`,
  },
  srt: {
    type: "application/x-subrip",
    write: (transcript) => transcript.utterances.flatMap(({ words }) => cues(words)).map((words, index) =>
      `${index + 1}\n${timestamp(words[0].start)} --> ${timestamp(words.at(-1).end)}\n${line(words)}\n`).join("\n"),
  },
  json: {
    type: "application/json",
    write: (transcript) => `${JSON.stringify({
      request_id: transcript.requestId,
      duration: transcript.duration,
      utterances: transcript.utterances.map(({ start, end, words }) => ({ start, end, transcript: line(words), words })),
    }, null, 2)}\n`,
  },
};
