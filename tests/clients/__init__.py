"""Unmodified clients of other languages against a onebox: `make clients`. Their packages are installed for each run."""
