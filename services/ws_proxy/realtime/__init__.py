"""OpenAI's realtime transcription, `/v1/realtime?intent=transcription`, translated to the wire of `/v1/listen`.

Its events are decoded here, apart from the raw relay, to which this package is a client that lives in the same process.
"""
