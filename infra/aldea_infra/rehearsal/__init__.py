"""What a stack registers before AWS's own provider: validated, planned, applied on an emulator, changed."""
