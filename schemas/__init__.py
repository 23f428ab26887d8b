"""What happened: event types, topic contracts, codec, JSON Schemas and examples. No decisions, no network."""
