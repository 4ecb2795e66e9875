"""The program without AWS: mocks, the providers' schemas, and the graph that a run leaves."""
