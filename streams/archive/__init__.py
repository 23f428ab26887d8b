"""The archive: every record of every topic in Parquet files, exactly once, with columns to ask about."""
