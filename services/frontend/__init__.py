"""The Platform UI: a server-rendered console that reaches the Platform API over HTTP and nothing else."""
