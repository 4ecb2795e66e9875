"""The HTTP layer that all domains share: who calls, what they may do, how an endpoint is described and served."""
