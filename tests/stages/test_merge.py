"""From rows to a merged model: a run that can be opened at step 0, stopped, gone on with, merged and run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.core.errors import GateFailed, InputError, Interrupted, StoreError
from linnet.core.runs import LOG, find_run
from linnet.core.store import Store
from linnet.pipeline.merge import merge
from linnet.pipeline.tune import TuneOptions, resume, tune
from linnet.stages import merge as stage
from tests.tiny_decoder import chats, tiny_decoder

pytestmark = pytest.mark.usefixtures("one_core")
LORA = TuneOptions(method="lora", epochs=2, batch=8, rate=0.02, max_length=200)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("base") / "tiny", dtype="bfloat16")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": c.turns[0].content, "completion": c.turns[1].content}) + "\n"
                            for c in chats(24)))  # fmt: skip
    return path


def outcome(store: Store, run: str) -> tuple[dict[str, str], bytes]:
    """Hashes of all that was trained, and the curve."""
    view = find_run(store, run)
    assert view.run is not None
    files = {n: f.sha256 for n, f in view.run.files.items() if n.startswith(("adapter/", "model/"))}
    return files, (view.folder / LOG).read_bytes()


@pytest.mark.parametrize("method", ["lora", "full"])
def test_stopped_it_can_be_opened_and_goes_on_to_the_same_bits(
    decoder: Path, rows: Path, tmp_path: Path, arm: Callable[[str], None], method: str
) -> None:
    from linnet.training import decoder_folder, lora

    options = TuneOptions(method=method, epochs=2, batch=8, max_length=200)
    whole = tune(str(decoder), rows, options, store=Store(tmp_path / "whole"))
    store = Store(tmp_path / "stopped")
    mine = tmp_path / "mine.jsonl"
    shutil.copyfile(rows, mine)
    arm("train.step:1=term")
    with pytest.raises(Interrupted, match="linnet runs resume tune-"):
        tune(str(decoder), mine, options, store=store)
    arm("")
    view = find_run(store, "tune")
    assert view.state == "stopped"
    if method == "lora":
        lora.attach(decoder_folder.load(decoder), view.folder / "adapter")
    else:
        decoder_folder.load(view.folder / "model")
    mine.unlink()  # the run has rows of its own
    again = resume(view.id[:12], store=store)
    assert again.step.run.id == view.id == whole.step.run.id
    assert outcome(store, view.id) == outcome(Store(tmp_path / "whole"), view.id)
    assert resume(view.id, store=store).step.reused


def test_a_merged_run_is_the_adapter_and_has_a_name(decoder: Path, rows: Path, tmp_path: Path) -> None:
    from linnet.formats.resolve import resolve_model
    from linnet.training import decoder_folder

    store = Store(tmp_path)
    done = tune(str(decoder), rows, LORA, store=store)
    assert {Path(name).parts[0] for name in done.step.run.files} == {
        "adapter", "data_report.json", "log.jsonl", "request.json", "template.jinja", "train.jsonl", "validation.jsonl",
    }  # fmt: skip
    made = merge(done.step.run.id, "home", store=store)
    gates = {gate["name"]: gate["measured"] for gate in made.step.result["gates"]}
    assert list(gates) == [
        "adapter = merged, fp32",
        "adapter = merged, stored as bfloat16",
        "merged = GGUF BF16 in the engine",
    ]
    assert float(gates["adapter = merged, fp32"]) < 1e-4
    assert [model.name for model in made.models] == ["home:latest", "home:hf"]
    assert resolve_model(store, "home").format == "gguf"
    folder = Path(resolve_model(store, "home:hf").path)
    assert decoder_folder.precision(folder) == decoder_folder.precision(decoder)
    assert merge(done.step.run.id, "home", store=store).step.reused
    with pytest.raises(InputError, match="home is in the store already"):
        tune(str(decoder), rows, TuneOptions(method="full", epochs=1, out="home"), store=store)
    assert len(list((tmp_path / "runs").glob("tune-*"))) == 1


def test_a_template_of_ours_travels_with_what_is_made(decoder: Path, rows: Path, tmp_path: Path) -> None:
    from linnet.formats.named_templates import CHATML
    from linnet.formats.template_render import folder_template

    bare = Path(shutil.copytree(decoder, tmp_path / "bare"))
    settings = json.loads((bare / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    done = tune(str(bare), rows, LORA, store=Store(tmp_path / "store"))
    assert done.step.result["template"] == "chatml"
    assert (done.step.folder / "adapter" / "chat_template.jinja").read_text() == CHATML
    made = merge(done.step.run.id, gguf=False, store=Store(tmp_path / "store"))
    assert folder_template(made.step.folder / "model").source == CHATML
    assert f"base_model: {bare.name}" in (made.step.folder / "model" / "README.md").read_text()


def test_a_base_that_changed_is_refused(decoder: Path, rows: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(decoder, base)
    store = Store(tmp_path / "store")
    done = tune(str(base), rows, LORA, store=store)
    shutil.rmtree(base)
    tiny_decoder(base, dtype="float32")
    with pytest.raises(StoreError, match=r"is not the model that tune-.* was tuned on"):
        merge(done.step.run.id, store=store)


def test_a_stopped_run_is_neither_merged_nor_continued_by_other_code(
    decoder: Path, rows: Path, tmp_path: Path, arm: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    arm("train.step:1=term")
    with pytest.raises(Interrupted):
        tune(str(decoder), rows, LORA, store=store)
    arm("")
    with pytest.raises(InputError, match=r"is stopped, not finished\.\nGo on with: linnet runs resume"):
        merge("tune", store=store)
    monkeypatch.setattr("linnet.pipeline.tune.code_version", lambda: "other")
    with pytest.raises(StoreError, match="another version of Linnet"):
        resume("tune", store=store)


@pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="converts a second model: LINNET_NIGHTLY=1 runs it")
def test_a_conversion_that_answers_otherwise_is_stopped(
    decoder: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    done = tune(str(decoder), rows, LORA, store=store)
    monkeypatch.setattr(stage, "GGUF_AGREEMENT", 1.1)
    with pytest.raises(GateFailed, match="The engine gives another likeliest token than torch"):
        merge(done.step.run.id, store=store)
    assert not list((tmp_path / "runs").glob("merge-*/record.json"))
