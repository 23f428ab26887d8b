"""How it flows: Faust topology, transport, state, metrics, archive, replay, console, command line."""
