"""A load test for any deployment of the speech API: `python -m aldea.load`."""
