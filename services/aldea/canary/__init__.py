"""One stream and one upload through a public address, judged: `python -m aldea.canary`."""
