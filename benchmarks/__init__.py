"""Side by side with the peers and with the physical limit, in one run: `python -m benchmarks`."""
