"""Floor 4: derivatives, from graph to graph."""
