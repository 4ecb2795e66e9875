"""Plain uploads without an HTTP server's objects: heads are read in one step, bodies pass as bytes under a counter."""
