"""GGUF models in a worker: what to load, how to ask, and the pool that shares what is loaded."""
