"""What a GPU changes, checked and timed: `make bench-gpu`, or `python -m tests.benchmarks.gpu PART ...`."""
