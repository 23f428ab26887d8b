"""Simulation: what another policy would have selected of a recorded history, and what is known of that selection."""
