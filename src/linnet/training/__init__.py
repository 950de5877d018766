"""Change a model: one loop, its batches, losses, checkpoints."""

from linnet.training.allocator import ask_for_large_pages

ask_for_large_pages()
