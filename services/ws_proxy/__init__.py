"""Live transcription: WebSocket streams from customers to the STT servers, admitted, relayed and metered."""
