"""Self-contained HTML reports: one file with its plots inside, that asks nothing of any network."""
