"""The numbers of a GGUF header that decide how much memory a model takes and how fast it is. Reads no weight."""

from __future__ import annotations

from collections.abc import Sequence

from linnet.core.errors import ModelFileError
from linnet.formats.gguf import GgufHeader, GgufTensor

PAD = 256  # llama.cpp rounds a slot's context up to this
# Types that the wheel (AVX2) copies into another order while loading: mapped, they would be in memory twice.
REPACKED = ("Q4_0", "Q4_K", "IQ4_NL", "MXFP4")
# One layer in so many has full attention, where the file does not say (llama.cpp: set_swa_pattern).
_EVERY = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "cohere2": 4, "gpt-oss": 2, "llama4": 4, "exaone4": 4, "olmo2": 4}


def padded(tokens: int) -> int:
    return max(PAD, -(-tokens // PAD) * PAD)


class Shape:
    """The numbers of a header that decide about memory."""

    def __init__(self, header: GgufHeader, tensors: Sequence[GgufTensor]) -> None:
        self._header = header
        self.weights_bytes = sum(tensor.size_bytes for tensor in tensors)
        self.parameters = sum(tensor.elements for tensor in tensors)
        twice = [tensor for tensor in tensors if tensor.type in REPACKED and tensor.name != "token_embd.weight"]
        self.repacked_bytes = sum(tensor.size_bytes for tensor in twice)
        self.tensors = tensors
        architecture = header.metadata.get("general.architecture")
        if not isinstance(architecture, str):
            raise ModelFileError("general.architecture", f"{header.path}: general.architecture is missing.")
        self.architecture = architecture
        self.layers = self.number("block_count", 0)
        self.width = self.number("embedding_length", 0)
        self.heads = max(1, self.number("attention.head_count", 1))
        head = self.width // self.heads if self.heads else 0
        self.key_length = self.number("attention.key_length", head)
        self.value_length = self.number("attention.value_length", head)
        self.feed_forward = max(self.numbers("feed_forward_length", 4 * self.width))
        self.trained_context = self.number("context_length", 0)
        self.window = self.number("attention.sliding_window", 0)
        self.vocabulary = self._vocabulary()

    def number(self, key: str, default: int) -> int:
        value = self._header.metadata.get(f"{self.architecture}.{key}")
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        return max((int(found) for found in self.numbers(key, default)), default=default)

    def numbers(self, key: str, default: int) -> tuple[int, ...]:
        """One value for each layer: the array of the file, or its one number repeated."""
        found = self._header.numbers(f"{self.architecture}.{key}")
        if found:
            return tuple(int(value) for value in found)
        value = self._header.metadata.get(f"{self.architecture}.{key}", default)
        return (int(value) if isinstance(value, int) else default,) * max(1, self.layers)

    def _vocabulary(self) -> int:
        array = self._header.metadata.get("tokenizer.ggml.tokens")
        return int(getattr(array, "count", 0))

    @property
    def weights(self) -> dict[str, int]:
        """How many weights are of which type."""
        found: dict[str, int] = {}
        for tensor in self.tensors:
            found[tensor.type] = found.get(tensor.type, 0) + tensor.elements
        return found

    @property
    def active(self) -> dict[str, tuple[float, float]]:
        """By type, how many weights take part in a token and how many bytes are read for them: of the experts the share
        that is used, of an embedding table only what also serves as the head."""
        tied = not any(tensor.name == "output.weight" for tensor in self.tensors)
        experts, used = self.number("expert_count", 0), self.number("expert_used_count", 0)
        found: dict[str, tuple[float, float]] = {}
        for tensor in self.tensors:
            if tensor.name == "token_embd.weight" and not tied:
                continue
            share = used / experts if experts and used and "_exps." in tensor.name else 1.0
            weights, size = found.get(tensor.type, (0.0, 0.0))
            found[tensor.type] = (weights + share * tensor.elements, size + share * tensor.size_bytes)
        return found

    def has_full_attention(self, layer: int) -> bool:
        """Whether this layer's cache spans the whole context. Unknown patterns count as yes: never too little."""
        if not self.window:
            return True
        pattern = self._header.numbers(f"{self.architecture}.attention.sliding_window_pattern")
        if layer < len(pattern):
            return not pattern[layer]
        every = self.number("attention.sliding_window_pattern", 0) or _EVERY.get(self.architecture, 0)
        return every < 2 or (layer + 1) % every == 0
