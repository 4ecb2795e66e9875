"""How every service lives: start, HTTP server, errors, drain and end."""
