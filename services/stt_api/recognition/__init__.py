"""From slices of audio to words: the recognition processes, and what runs in them."""
