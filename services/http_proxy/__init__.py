"""Recorded audio: uploads streamed through to an STT server, responses streamed back, metered on the way."""
