"""The speech API described: an OpenAPI document of recorded audio, an AsyncAPI document of live streams, a guide."""
