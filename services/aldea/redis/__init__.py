"""The process's link to Redis: connections, scripts, the circuit, and what is stored under which name."""
