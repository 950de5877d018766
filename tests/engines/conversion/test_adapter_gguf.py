"""LoRA in llama.cpp: an adapter on its base says what the merged model says, alone and among others in one engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.core.errors import EngineError, GateFailed, InputError, ModelFileError, NotFound
from linnet.engines.conversion.adapter_gguf import BOUND, adapter_job, prove_adapter, write_adapter
from linnet.engines.conversion.convert import tools_folder
from linnet.engines.llama.engine import open_llama
from linnet.engines.llama.load_plan import LoadOptions
from linnet.engines.llama.pool import EnginePool
from linnet.engines.llama.pool_entries import Source
from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation, Piece
from tests.tiny_adapter import tiny_adapter
from tests.tiny_decoder import chats, tiny_decoder

torch = pytest.importorskip("torch")
NAMES = ("rslora", "plain")
CHOICES: dict[str, dict[str, Any]] = {"rslora": {"use_rslora": True}, "plain": {"use_rslora": False, "seed": 6}}


@dataclass(frozen=True)
class Made:
    """One base and two adapters, in every form."""

    folder: Path
    base: Path
    prompts: list[list[int]]

    def gguf(self, name: str) -> Path:
        return self.folder / f"{name}.gguf"


# One process for many conversions: each spends its time on importing.
MANY = """
import json, sys
from pathlib import Path
from linnet.engines.conversion import adapter_gguf_main, convert_main
given = json.load(sys.stdin)
for job in given["jobs"]:
    if "pairs" in job:
        adapter_gguf_main.write({**job, "tools": given["tools"], "precision": "F32"})
    else:
        convert_main.convert(given["tools"], Path(job["folder"]), Path(job["target"]), "F32")
"""


def convert_all(folder: Path, jobs: list[dict[str, Any]]) -> None:
    given = json.dumps({"tools": str(tools_folder()), "jobs": jobs})
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "NO_LOCAL_GGUF": "1"}
    subprocess.run(
        [sys.executable, "-I", "-c", MANY], input=given, text=True, check=True, cwd=folder, env=environment,
        capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    from linnet.training import decoder_folder, lora
    from linnet.training.targets import TargetEncoder

    folder = tmp_path_factory.mktemp("adapters")
    base = tiny_decoder(folder / "hf")
    encoder = TargetEncoder.of_folder(base)
    jobs: list[dict[str, Any]] = [{"folder": str(base), "target": str(folder / "base.gguf")}]
    for name in NAMES:
        adapter = tiny_adapter(base, folder / name, **CHOICES[name])
        merged = folder / f"merged-{name}-hf"
        decoder_folder.save(lora.merge(lora.attach(decoder_folder.load(base), adapter)), base, merged)
        jobs.append({"folder": str(merged), "target": str(folder / f"merged-{name}.gguf")})
    jobs.append({**adapter_job(folder / "plain"), "base": str(base), "target": str(folder / "plain.gguf")})
    convert_all(folder, jobs)
    write_adapter(folder / "rslora", base, folder / "rslora.gguf")
    return Made(folder, base, [encoder.prompt_ids(chat.turns[:1]) for chat in chats(3)])


@pytest.mark.parametrize("name", NAMES)
def test_the_adapter_on_its_base_is_the_merged_model(made: Made, name: str) -> None:
    proof = prove_adapter(made.gguf(name), made.gguf("base"), made.gguf(f"merged-{name}"), made.prompts)
    assert proof.relative_difference < BOUND / 10
    assert proof.kl_divergence < 1e-6
    assert proof.effect > 0.1
    assert (proof.prompts, proof.greedy_tokens) == (3, 96)
    assert proof.tokens == sum(map(len, made.prompts))


def test_the_adapter_in_the_engine_is_the_merged_model_in_torch(made: Made) -> None:
    """The other proof compares two GGUF files: a mistake of both would pass."""
    from linnet.engines.scoring.scorer import Scorer
    from linnet.training import decoder_folder

    merged = decoder_folder.load(made.folder / "merged-rslora-hf")
    with torch.no_grad():
        expected = merged(input_ids=torch.tensor([made.prompts[0]])).logits[0].numpy()
    with Scorer(made.gguf("base"), adapter=made.gguf("rslora"), context=256) as scorer:
        assert np.abs(scorer.logits(made.prompts[0]) - expected).max() < 1e-3


def test_the_wrong_adapter_fails_the_gate_by_name(made: Made) -> None:
    with pytest.raises(GateFailed, match=r"differ by .* at token \d+ of prompt \d; at most 0.001 is allowed"):
        prove_adapter(made.gguf("plain"), made.gguf("base"), made.gguf("merged-rslora"), made.prompts)
    with pytest.raises(InputError, match="no prompts"):
        prove_adapter(made.gguf("plain"), made.gguf("base"), made.gguf("merged-plain"), [])
    with pytest.raises(ModelFileError, match="this is no adapter"):
        prove_adapter(made.gguf("base"), made.gguf("base"), made.gguf("merged-plain"), made.prompts)


def answer(pool: EnginePool, name: str, prompt: list[int]) -> tuple[list[int], str]:
    """Token ids and text of a greedy answer."""
    with pool.lease(name) as lease:
        request = lease.adapted(GenerateRequest(token_ids=tuple(prompt), max_tokens=24, sampling=GREEDY))
        *pieces, done = lease.engine.generate(request)
    assert isinstance(done, Generation)
    assert done.completion_tokens > 1
    return [token for piece in pieces if isinstance(piece, Piece) for token in piece.token_ids], done.text


@pytest.fixture
def pool(made: Made) -> Iterator[EnginePool]:
    """`base` and an adapter's name share one engine; `merged-...` are models of their own."""
    adapters = tuple((name, made.gguf(name)) for name in NAMES)

    def resolve(name: str) -> Source:
        shared = name in (*NAMES, "base")
        key = made.gguf("base" if shared else name)
        options = LoadOptions(
            context=256, slots=2, threads=1, cache_type="f32", adapters=adapters if shared else (), prompt_cache_mib=0
        )
        return Source(str(key), lambda free: open_llama(key, options, free_bytes=free), name if name in NAMES else "")

    found = EnginePool(1 << 30, resolve)
    yield found
    found.close()


def test_two_adapters_share_one_base_and_each_answers_as_its_merged_model(made: Made, pool: EnginePool) -> None:
    expected = {n: [answer(pool, f"merged-{n}", p) for p in made.prompts] for n in NAMES}
    plain = [answer(pool, "base", p) for p in made.prompts]
    assert expected["rslora"] != expected["plain"] != plain != expected["rslora"]
    loads = pool.loads
    for _ in range(2):  # a cache of keys and values that another adapter left must not be used
        for place, prompt in enumerate(made.prompts):
            for name in NAMES:
                assert answer(pool, name, prompt) == expected[name][place]
            assert answer(pool, "base", prompt) == plain[place]
    asked = [(name, place) for name in NAMES for place in range(len(made.prompts))] * 3
    with ThreadPoolExecutor(4) as threads:
        together = threads.map(lambda one: answer(pool, one[0], made.prompts[one[1]]), asked)
        assert list(together) == [expected[name][place] for name, place in asked]
    assert pool.loads == loads
    assert {"base", *NAMES} in [set(row.names) for row in pool.ps()]


def changed(adapter: Path, to: Path, **settings: Any) -> Path:
    to.mkdir()
    for file in adapter.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    config = json.loads((to / "adapter_config.json").read_text())
    (to / "adapter_config.json").write_text(json.dumps({**config, **settings}))
    return to


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"use_dora": True}, "use_dora is True; a GGUF adapter has no form for it"),
        ({"peft_type": "IA3"}, "peft_type is IA3"),
        ({"bias": "all"}, "bias is all"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out is True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is pissa"),
        ({"of_tomorrow": {"x": 1}}, "of_tomorrow"),
        ({"lora_alpha": 0}, "lora_alpha is 0; it must be a number above 0"),
        ({"r": True}, "r is True"),
        ({"alpha_pattern": {"(a+)+$": 4}}, "only module names are read"),
    ],
)
def test_what_a_gguf_adapter_has_no_form_for_is_refused_by_name(
    made: Made, tmp_path: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelFileError) as caught:
        adapter_job(changed(made.folder / "plain", tmp_path / "x", **settings))
    assert said in caught.value.message
    assert "/" not in caught.value.field


def test_scaling_by_hand(made: Made, tmp_path: Path) -> None:
    plain, stable = (adapter_job(made.folder / name) for name in ("plain", "rslora"))
    assert (plain["alpha"], stable["alpha"]) == (8, 16)  # llama.cpp divides by the rank, 4; 8 / sqrt(4) = 16 / 4
    assert {pair["factor"] for pair in [*plain["pairs"], *stable["pairs"]]} == {1.0}
    assert len(plain["pairs"]) == 14
    other = adapter_job(changed(made.folder / "plain", tmp_path / "x", alpha_pattern={"mlp.up_proj": 2}))
    assert {pair["name"].split(".", 3)[3]: pair["factor"] for pair in other["pairs"] if pair["factor"] != 1} == {
        "mlp.up_proj.weight": 0.25
    }


def test_damaged_folders_are_refused(made: Made, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    with pytest.raises((ModelFileError, NotFound)):
        adapter_job(tmp_path)
    half = changed(made.folder / "plain", tmp_path / "half")
    tensors = load_file(half / "adapter_model.safetensors")
    first = next(name for name in tensors if ".lora_A." in name)
    save_file({n: t for n, t in tensors.items() if n != first}, half / "adapter_model.safetensors")
    with pytest.raises(ModelFileError, match="needs lora_A and lora_B of one rank"):
        adapter_job(half)
    save_file({**tensors, "base_model.model.lm_head.bias": torch.zeros(3)}, half / "adapter_model.safetensors")
    with pytest.raises(ModelFileError, match=r"no form for base_model.model.lm_head.bias"):
        adapter_job(half)
    weights = (half / "adapter_model.safetensors").read_bytes()
    (half / "adapter_model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(ModelFileError):
        adapter_job(half)


def test_a_module_that_the_base_does_not_have_is_named(made: Made, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    strange = changed(made.folder / "plain", tmp_path / "strange")
    tensors = load_file(strange / "adapter_model.safetensors")
    renamed = {name.replace("up_proj", "sideways_proj"): tensor for name, tensor in tensors.items()}
    save_file(renamed, strange / "adapter_model.safetensors")
    with pytest.raises(EngineError, match="sideways_proj"):
        write_adapter(strange, made.base, tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
