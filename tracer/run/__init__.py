"""Floor 7: executors of graphs and programs."""
