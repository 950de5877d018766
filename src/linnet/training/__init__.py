"""Change a model: one loop, its batches, losses, checkpoints."""
