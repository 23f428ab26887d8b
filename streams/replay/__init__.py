"""Replay: history decided again by the same deciders, and proof that recorded decisions follow from the record."""
