"""WebSocket without messages: an I/O-free frame scanner, handshakes, and the relay of raw frames between two peers."""
