"""Floor 1: the graph of nodes, the Op record, and the text forms."""
