"""The embedded STT server, with the STT API's wire: what the platform talks to where there is no GPU server."""
