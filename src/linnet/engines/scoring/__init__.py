"""llama.cpp's C API in this process: log-probabilities, labels, perplexity, divergence, what passes through a layer."""
