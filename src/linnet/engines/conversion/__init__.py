"""From safetensors to GGUF, for models and adapters, and the proof that both are the same model."""
