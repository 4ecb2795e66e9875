"""From a stranger's bytes to slices of 16 kHz: formats, containers, decoders, and the bounds of what they take."""
