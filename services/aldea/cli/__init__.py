"""`aldea`, the speech API on a command line: files, a microphone, keys and usage."""
