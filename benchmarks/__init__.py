"""Benchmarks of the training engine. Each is one command, ``python -m benchmarks.<name>``; see docs/performance.md."""
