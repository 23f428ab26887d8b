"""Who is outside: the simulated world, traffic drivers and benchmarks. Speaks only topics and schemas."""
