"""Floor 6: from a graph to a program of fused loops, products and other instructions over planned memory."""
