"""Change a model: one loop, its batches, losses, checkpoints."""

from linnet.training.allocator import prepare

prepare()
