"""Public data sets, lodged as if they were today's traffic."""
