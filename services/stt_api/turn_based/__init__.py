"""Turn-based streaming, `/v2/listen`: TurnInfo messages that say when a speaker begins, pauses, goes on and is done."""
