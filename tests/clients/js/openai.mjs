// openai: recorded.
import { createReadStream } from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({ apiKey: process.env.ALDEA_KEY, baseURL: `${process.env.ALDEA_URL}/v1` });
const { data, response } = await client.audio.transcriptions
  .create({ file: createReadStream("sample.wav"), model: "whisper-1" })
  .withResponse();
console.log(JSON.stringify({ wire: "recorded", request_id: response.headers.get("dg-request-id"), transcript: data.text }));
