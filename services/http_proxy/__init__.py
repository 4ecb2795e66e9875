"""Recorded audio: uploads streamed through to an STT server, answers streamed back, metered on the way."""
