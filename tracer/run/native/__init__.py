"""Native code for fused loops: the second tier, which takes over the loops of programs that run often."""
