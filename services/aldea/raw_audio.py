"""Raw audio by the names that callers use for it: what the STT servers take, and what the meter computes with.

Loads nothing: a recognition process imports it too.
"""

from typing import Final

# Bytes per sample, by the contract's names.
SAMPLE_BYTES: Final = {"linear16": 2, "linear32": 4, "mulaw": 1, "alaw": 1}
# Other names that clients and SDKs use for the same.
_ALIASES: Final = {
    **dict.fromkeys(("pcm", "pcm16", "pcm_16", "pcm_s16le", "s16le", "s16", "lpcm", "linear", "linear-16"), "linear16"),
    **dict.fromkeys(("pcm_s32le", "s32le", "pcm32"), "linear32"),
    **dict.fromkeys(("ulaw", "mu-law", "u-law", "pcmu", "pcm_mulaw", "g711u"), "mulaw"),
    **dict.fromkeys(("a-law", "pcma", "pcm_alaw", "g711a"), "alaw"),
}


def raw_encoding(name: str) -> str | None:
    """The contract's name of a raw encoding, by any of its names in any case; None if it is not raw audio."""
    name = name.strip().lower()
    name = _ALIASES.get(name, name)
    return name if name in SAMPLE_BYTES else None
