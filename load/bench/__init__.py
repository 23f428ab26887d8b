"""Benchmarks of the deciders: the only part of load/ that imports agents/, because it measures them."""
