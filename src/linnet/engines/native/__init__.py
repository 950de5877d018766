"""llama.cpp compiled on this machine: sources, build, self-test, and which engine runs."""
