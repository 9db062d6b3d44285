"""Programs on a GPU: kernels made for them, launched through CuPy, and CUDA's libraries for the rest."""
