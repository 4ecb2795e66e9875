"""The price book: what an hour of audio costs, by plan and service, since when. Only added to, never in the past."""
