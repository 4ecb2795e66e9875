"""Projects that an operator moves to another billing account."""
