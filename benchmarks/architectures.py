"""Which architectures convert, quantise, load and predict as transformers does: `python -m benchmarks.architectures`.

    python -m benchmarks.architectures [--json] [--write] [FAMILY ...]    --write: docs/architectures.md

Each family is a checkpoint of random weights, made with the real configuration class of transformers, 256 wide and two
to six layers deep, with a tokenizer trained on the spot: `bytes` is byte-level BPE, `pieces` BPE of SentencePiece's
kind with bytes to fall back to. `--check` is asked first; then the checkpoint is converted to F32, that to Q4_0, and
the engine's logits at F32 are compared with those of transformers. The children of the conversion are forked from this
process, which has torch in memory already; else starting them would take most of the time.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from linnet.core.errors import EngineError, LinnetError
from linnet.core.store import Store

ROOT = Path(__file__).parents[1]
BOUND = 1e-3
GLM = ("[gMASK]", "<|endoftext|>", "<|user|>", "<|observation|>")  # that conversion asks for them by name
TEXTS = (
    "The lamp on the table is off, isn't it? Turn 23 of 45 lamps on, please, and the kitchen's too.",
    "def area(width, height):\n    return width * height  # 3.14\n\nnaïve café, Привет мир, 日本語の文章\n",
    '{"tool": "none", "n": 7, "tags": ["red", "green", "blue"]} <b>bold</b> (a != b) && c[0]->d;\r\n\t x',
)

# What most configuration classes call the same.
PLAIN: dict[str, Any] = {
    "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "tie_word_embeddings": False,
}  # fmt: skip
EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 256}


@dataclass(frozen=True, slots=True)
class Family:
    """`config` is the name of the configuration class without `Config`; `bare` leaves the plain values out."""

    config: str
    values: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: str = "bytes"
    bare: bool = False
    name: str = ""


_GPT = {"n_embd": 256, "n_layer": 2, "n_head": 4, "n_positions": 512}
_MLA = {
    "q_lora_rank": 128, "kv_lora_rank": 128, "qk_rope_head_dim": 32, "qk_nope_head_dim": 64, "v_head_dim": 64,
    "n_routed_experts": 8, "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1,
    "num_key_value_heads": 4, **EXPERTS,
}  # fmt: skip
_GEMMA = {"head_dim": 64, "tie_word_embeddings": True}
_WINDOW = {"sliding_window": 128, "num_hidden_layers": 4}
FAMILIES = (
    Family("Llama"),
    Family("Llama", {"num_key_value_heads": 4}, "pieces", name="Llama 2"),
    Family("Llama", {"rope_parameters": {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256}}, name="Llama 3.1"),
    Family("Mistral", {"sliding_window": None}, "pieces"),
    Family("Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}, "pieces"),
    Family("Qwen2"),
    Family("Qwen2Moe", {"num_experts": 4, "shared_expert_intermediate_size": 256, "decoder_sparse_step": 1, **EXPERTS}),
    Family("Qwen3", {"head_dim": 64}),
    Family("Qwen3Moe", {"head_dim": 64, "num_experts": 4, "norm_topk_prob": True, **EXPERTS}),
    Family("Phi", {"partial_rotary_factor": 0.5, "num_key_value_heads": 4, "intermediate_size": 1024}, name="Phi-2"),
    Family("Phi3", {"sliding_window": None, "pad_token_id": 0}, "pieces"),
    Family("Gemma", {"num_key_value_heads": 1, **_GEMMA}, "pieces"),
    Family("Gemma2", {"query_pre_attn_scalar": 64, **_GEMMA, **_WINDOW}, "pieces"),
    Family("Gemma3Text", {"query_pre_attn_scalar": 64, **_GEMMA, **_WINDOW, "num_hidden_layers": 6}, "pieces"),
    Family("SmolLM3", {"num_hidden_layers": 4, "pad_token_id": 0}),
    Family("Granite", {"embedding_multiplier": 12.0, "logits_scaling": 8.0, "residual_multiplier": 0.22,
                       "attention_multiplier": 0.015625}),
    Family("GraniteMoe", {"num_local_experts": 4, "num_experts_per_tok": 2, "embedding_multiplier": 12.0,
                          "logits_scaling": 8.0, "residual_multiplier": 0.22, "attention_multiplier": 0.015625}),
    Family("Olmo", {"num_key_value_heads": 4}),
    Family("Olmo2"),
    Family("Olmo3", _WINDOW),
    Family("Olmoe", {"num_experts": 4, "num_experts_per_tok": 2, "num_key_value_heads": 4}),
    Family("StableLm", {"partial_rotary_factor": 0.25, "num_key_value_heads": 4}),
    Family("Falcon", {"hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "multi_query": True,
                      "parallel_attn": True, "bias": False, "alibi": False,
                      "max_position_embeddings": 2048}, bare=True),
    Family("GPTNeoX", {"rotary_pct": 0.25}),
    Family("GPT2", _GPT, bare=True),
    Family("GPTBigCode", {**_GPT, "multi_query": True}, bare=True),
    Family("Starcoder2", {"sliding_window": None}),
    Family("Cohere", {"tie_word_embeddings": True, "num_key_value_heads": 4}),
    Family("Cohere2", {"tie_word_embeddings": True, **_WINDOW}),
    Family("Bloom", {"hidden_size": 256, "n_layer": 2, "n_head": 4, "seq_length": 512}, bare=True),
    Family("Mpt", {"d_model": 256, "n_heads": 4, "n_layers": 2, "max_seq_len": 512, "expansion_ratio": 4}, bare=True),
    Family("Mamba", {"hidden_size": 256, "num_hidden_layers": 2, "state_size": 16, "vocab_size": 448}, bare=True),
    Family("Mamba2", {"hidden_size": 256, "num_hidden_layers": 2, "state_size": 64, "num_heads": 8, "head_dim": 64,
                      "n_groups": 1, "vocab_size": 448}, bare=True),
    Family("Rwkv", {"hidden_size": 256, "num_hidden_layers": 2, "attention_hidden_size": 256, "context_length": 512},
           bare=True),
    Family("DeepseekV2", {**_MLA, "topk_method": "greedy", "rope_interleave": True}),
    Family("DeepseekV3", _MLA),
    Family("Exaone4", {"sliding_window": None, "layer_types": ["full_attention"] * 2}),
    Family("Nemotron", {"partial_rotary_factor": 0.5}, "pieces"),
    Family("Glm4", {"head_dim": 64, "partial_rotary_factor": 0.5, "pad_token_id": 0}),
    Family("Ernie4_5", {"head_dim": 64}, "pieces"),
    Family("Arcee"),
    Family("Apertus"),
    Family("HunYuanDenseV1", {"head_dim": 64, "eod_token_id": 2}),
    Family("SeedOss", {"head_dim": 64}),
    Family("Lfm2", {"num_hidden_layers": 4, "layer_types": ["conv", "conv", "full_attention", "conv"],
                    "block_auto_adjust_ff_dim": False}),
    Family("OPT", {"hidden_size": 256, "ffn_dim": 512, "num_hidden_layers": 2, "num_attention_heads": 4,
                   "max_position_embeddings": 512, "word_embed_proj_dim": 256}, bare=True),
    Family("GPTJ", {**_GPT, "rotary_dim": 32}, bare=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one family. `difference`: of the logits, relative, in the Euclidean norm."""

    name: str
    architecture: str
    tokenizer: str
    predicted: bool
    problem: str
    passed: bool
    difference: float = float("nan")

    @property
    def is_right(self) -> bool:
        return self.predicted == self.passed

    def cells(self) -> tuple[str, ...]:
        told = "converts" if self.predicted else "refused"
        result = f"pass, {self.difference:.0e}" if self.passed else f"refused: {self.problem}"
        return self.name, self.architecture or "none", self.tokenizer, told, result


def name_of(family: Family) -> str:
    return family.name or family.config


def make_tokenizer(kind: str) -> Any:
    """A `tokenizers.Tokenizer` trained on TEXTS, control tokens first."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    special = ["<unk>", "<s>", "</s>", "<pad>", *GLM]
    if kind == "bytes":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=512, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
        made.train_from_iterator(TEXTS * 3, trainer)
        return made
    bytes_ = [f"<0x{number:02X}>" for number in range(256)]
    made = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(vocab_size=800, special_tokens=special + bytes_, show_progress=False)
    made.train_from_iterator(TEXTS * 3, trainer)
    # As Llama's: bytes are no special tokens, and every merge of two pieces to a third is listed, the oldest first.
    state = json.loads(made.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] not in bytes_]
    pieces = [piece for piece in state["model"]["vocab"] if piece not in (*special, *bytes_)]
    known = set(pieces)
    state["model"]["merges"] = [
        [piece[:cut], piece[cut:]]
        for piece in sorted(pieces, key=state["model"]["vocab"].__getitem__)
        for cut in range(1, len(piece))
        if piece[:cut] in known and piece[cut:] in known
    ]
    state["pre_tokenizer"] = None
    made = Tokenizer.from_str(json.dumps(state))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return made


def make(family: Family, folder: Path) -> Path:
    """Write the checkpoint: random weights large enough that a wrong one is seen."""
    import torch
    import transformers

    tokenizer = make_tokenizer(family.tokenizer)
    values: dict[str, Any] = {} if family.bare else dict(PLAIN)
    values |= {"vocab_size": tokenizer.get_vocab_size(), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    values |= family.values
    torch.manual_seed(7)
    model: Any = transformers.AutoModelForCausalLM.from_config(
        getattr(transformers, f"{family.config}Config")(**values), dtype=torch.float32
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.mul_(2)
            elif "norm" in name or name.endswith("bias"):
                weight.add_(0.1 * torch.randn_like(weight))
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
                "unk_token": "<unk>", "pad_token": "<pad>", "add_bos_token": False}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def difference(folder: Path, gguf: Path) -> float:
    """How far the engine's logits are from those of transformers, relative to these."""
    import numpy as np

    from linnet.engines.conversion.reference_main import logits
    from linnet.engines.scoring.scorer import Scorer

    with Scorer(gguf, context=256) as scorer:
        ids = [1, *(i for text in TEXTS for i in scorer.tokenize(text, bos=False))][:200]
        ours = scorer.logits(ids)
    theirs = logits(folder, "float32", ids)[:, : ours.shape[1]]
    return float(np.linalg.norm(ours[:, : theirs.shape[1]] - theirs) / np.linalg.norm(theirs))


def judge(family: Family, place: Path) -> Row:
    """Make, ask, convert, compare. `place` is an empty folder."""
    from linnet.stages.convert import Options, check_convert, convert

    folder, store = make(family, place / "hf"), Store(place / "store")
    asked = check_convert(store, str(folder), "Q4_0")
    found: dict[str, Any] = {
        "name": name_of(family), "architecture": asked.architecture, "tokenizer": family.tokenizer,
        "predicted": asked.possible,
    }  # fmt: skip
    whole, small = (str(place / name) for name in ("F32.gguf", "Q4_0.gguf"))
    try:
        convert(store, str(folder), "F32", Options(out=whole))
        convert(store, whole, "Q4_0", Options(out=small))
        distance = difference(folder, Path(whole))
    except LinnetError as error:
        return Row(**found, problem=error.message.replace(str(folder), name_of(family)), passed=False)
    problem = "" if distance <= BOUND else f"logits differ by {distance:.1e}"
    return Row(**found, problem=problem, passed=not problem, difference=distance)


def page(rows: Sequence[Row]) -> str:
    """docs/architectures.md."""
    import transformers

    from linnet.engines.conversion.convert import CARRIER
    from linnet.engines.scoring.llama_c import EXPECTED

    versions = f"transformers {transformers.__version__}, {CARRIER} {metadata.version(CARRIER)}, xllamacpp {EXPECTED}"
    right, passed = sum(row.is_right for row in rows), sum(row.passed for row in rows)
    lines = [
        "# Architectures", "",
        "Made by `python -m benchmarks.architectures --write`; the nightly tests compare every row.", "",
        f"Versions: {versions}. {len(rows)} families:",
        f"{passed} pass, {len(rows) - passed} are refused before anything long; `linnet convert --check` was right on "
        f"{right}.", "",
        "A pass: converted to F32 and Q4_0, loaded, the same tokens, and logits at F32 that differ from transformers'",
        f"by at most {BOUND:g} relative (the number). Numbers above 1e-5 are of families with GELU; the engine may",
        "look that up in a table, which was not tried without.",
        "Every family is a small checkpoint of random weights with the real configuration class; its tokenizer is",
        "`bytes` (byte-level BPE) or `pieces` (SentencePiece's kind, read from tokenizer.json).", "",
        "Configurations are of the published kind; some were set so after the first choice failed. Not foretold:",
        "EXAONE 4 with a sliding window and other than 64 layers passes `--check` and fails at the",
        "comparison of predictions, after the conversion.", "",
        "| family | in GGUF | tokenizer | `--check` | result |", "|---|---|---|---|---|",
    ]  # fmt: skip
    return "\n".join([*lines, *(f"| {' | '.join(row.cells())} |" for row in rows)]) + "\n"


def forked(module: str, job: dict[str, Any], scratch: Path, seconds: float, doing: str = "converted to GGUF") -> None:  # noqa: ARG001
    """engines.convert.run_child without a new interpreter: the same module, in a fork of this process."""
    said, tell = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(tell, 2)
        os.chdir(scratch)
        sys.stdin = io.StringIO(json.dumps(job))
        status = 1
        try:
            importlib.import_module(module).main()
            status = 0
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}".encode())
        os._exit(status)
    os.close(tell)
    with os.fdopen(said, errors="replace") as handle:
        lines = [line for line in handle.read().splitlines() if line.strip()]
    _, status = os.waitpid(child, 0)
    if status:
        raise EngineError(f"{job['folder']} could not be {doing}: {(lines or [str(status)])[-1]}.")


def main() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch
    import transformers

    from linnet.engines.conversion import convert

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    convert.run_child = forked
    wanted = [one for one in sys.argv[1:] if not one.startswith("--")]
    rows = []
    for family in FAMILIES:
        if wanted and name_of(family) not in wanted:
            continue
        with tempfile.TemporaryDirectory() as place:
            rows.append(judge(family, Path(place)))
        if "--json" in sys.argv:
            print(json.dumps(asdict(rows[-1])), flush=True)
        else:
            print(f"{'ok   ' if rows[-1].is_right else 'WRONG'} {' | '.join(rows[-1].cells())}", flush=True)
    if "--write" in sys.argv:
        (ROOT / "docs" / "architectures.md").write_text(page(rows))


if __name__ == "__main__":
    main()
