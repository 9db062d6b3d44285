"""Floor 6: from a graph to a program of fused loops and library calls."""
