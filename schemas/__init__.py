"""What happened: event types, topic contracts, JSON Schemas and examples. No logic, no I/O."""
