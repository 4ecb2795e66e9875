"""The OpenAI transcription wire on the same admission, metering and STT servers: `POST /v1/audio/transcriptions`."""
