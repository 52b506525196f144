"""Time, memory, traffic, correctness, and what this machine can do at best."""
