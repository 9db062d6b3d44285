"""Floor 2: the op table, one declaration per op."""
