// Runs beside the audio: turns whatever rate the microphone has into 16 kHz, 16 bit, one channel, 50 ms at a time.
const RATE = 16000;
const FRAME = RATE / 20;

class Pcm extends AudioWorkletProcessor {
  constructor() {
    super();
    this.ratio = sampleRate / RATE;
    this.sum = 0;
    this.taken = 0;
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
    this.peak = 0;
  }

  process(inputs) {
    const channel = inputs[0][0];
    if (!channel) return true;
    for (const sample of channel) {
      // Each output sample is the mean of the input samples that it spans, which also dampens what 16 kHz cannot hold.
      const room = this.ratio - this.taken;
      if (room > 1) {
        this.sum += sample;
        this.taken += 1;
        continue;
      }
      this.put((this.sum + sample * room) / this.ratio);
      this.sum = sample * (1 - room);
      this.taken = 1 - room;
    }
    return true;
  }

  put(value) {
    const clipped = Math.max(-1, Math.min(1, value));
    this.peak = Math.max(this.peak, Math.abs(clipped));
    this.frame[this.filled] = clipped < 0 ? clipped * 0x8000 : clipped * 0x7fff;
    this.filled += 1;
    if (this.filled < FRAME) return;
    this.port.postMessage({ pcm: this.frame.buffer, peak: this.peak }, [this.frame.buffer]);
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
    this.peak = 0;
  }
}

registerProcessor("pcm", Pcm);
