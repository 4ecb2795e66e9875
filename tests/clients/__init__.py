"""Unmodified clients against a onebox: of other languages, and of Python those that the project's own packages exclude.

`make clients` runs them all and installs their packages (in .clients, where they can be kept);
`tests/e2e/test_python_clients.py` runs those for Python.
"""
