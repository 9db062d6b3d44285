"""Floor 3: proxies that record what NumPy code does, shared variables, and what a trace captures."""
