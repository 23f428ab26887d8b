"""One process for each way to host the deciders: `python -m load.bench.hosts.<name> PLAN.json`, for the benchmark."""
