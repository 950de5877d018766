"""From rows to a merged model: a run that can be opened at step 0, stopped, gone on with, merged and run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from linnet.core import failpoints
from linnet.core.errors import GateFailed, InputError, Interrupted, StoreError
from linnet.core.events import Event
from linnet.core.runs import LOG, find_run
from linnet.core.store import Store
from linnet.pipeline.merge import merge, merge_adapter
from linnet.pipeline.tune import TuneOptions, resume, tune
from linnet.training import merging
from tests.tiny_decoder import chats, tiny_decoder, write_rows

pytestmark = pytest.mark.usefixtures("one_core")
LORA = TuneOptions(method="lora", epochs=2, batch=8, rate=0.02, max_length=200)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("base") / "tiny", dtype="bfloat16")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.jsonl", 24)


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


def test_a_whole_model_has_no_adapter_to_export(decoder: Path, rows: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    done = tune(str(decoder), rows, TuneOptions(method="full", epochs=1, batch=8, max_length=200), store=store)
    with pytest.raises(InputError, match="trained the whole model: it has no adapter"):
        merge_adapter(done.step.run.id, store=store)
    with pytest.raises(InputError, match="--base is for a model with a name"):
        merge_adapter(done.step.run.id, base="x", store=store)


@pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="converts three models: LINNET_NIGHTLY=1 runs it")
def test_adapters_share_their_base_and_answer_as_merged_models(decoder: Path, rows: Path, tmp_path: Path) -> None:
    from linnet.core.models import model_names, read_manifest
    from linnet.engines.llama.engine import open_llama
    from linnet.engines.llama.load_plan import LoadOptions
    from linnet.engines.requests.generation import GREEDY, GenerateRequest, Generation, Message
    from linnet.formats.resolve import resolve_model
    from linnet.pipeline.create import preset_options

    store = Store(tmp_path)
    seconds = TuneOptions(**{**asdict(LORA), "seed": 1, "epochs": 4})
    one, two = (tune(str(decoder), rows, options, store=store).step.run.id for options in (LORA, seconds))
    made = [merge_adapter(run, name, store=store) for run, name in ((one, "first"), (two, "second"))]
    assert made[0].step.result["gates"][0]["name"] == "adapter on base = merged, F32 GGUF"
    assert made[0].step.result["proof"]["effect"] > 10 * made[0].step.result["proof"]["relative_difference"]
    names = model_names(store)
    assert len(names) == 3  # the base once
    first, second = (read_manifest(store, name) for name in ("first", "second"))
    assert first.files[first.entry].sha256 == second.files[second.entry].sha256
    merge(two, "whole", store=store)

    def answer(name: str) -> str:
        model = resolve_model(store, name)
        engine = open_llama(Path(model.path), LoadOptions(context=200, slots=1, **preset_options(model)))
        try:
            adapters = tuple((adapter, 1.0) for adapter in engine.adapters)
            asked = (Message("user", chats(3)[2].turns[0].content),)
            *_, last = engine.generate(
                GenerateRequest(messages=asked, max_tokens=24, sampling=GREEDY, adapters=adapters)
            )
            assert isinstance(last, Generation)
            return last.text
        finally:
            engine.close()

    assert answer("second") == answer("whole")
    assert answer("second") != answer(next(name for name in names if name.startswith("tiny-")))
    assert merge_adapter(one, store=store).step.reused


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


def stop(decoder: Path, rows: Path, store: Store, arm: Callable[[str], None]) -> str:
    """A run that was stopped after two steps."""
    arm("train.step:2=term")
    with pytest.raises(Interrupted):
        tune(str(decoder), rows, LORA, store=store)
    arm("")
    return find_run(store, "tune").id


def test_other_code_goes_on_with_a_run_and_says_so(
    decoder: Path, rows: Path, tmp_path: Path, arm: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What decides is what changes numbers; an edit of the source is a warning, and on record."""
    whole, store = Store(tmp_path / "whole"), Store(tmp_path / "stopped")
    expected = tune(str(decoder), rows, LORA, store=whole).step.run
    run = stop(decoder, rows, store, arm)
    with pytest.raises(InputError, match=r"is stopped, not finished\.\nGo on with: linnet runs resume"):
        merge("tune", store=store)
    monkeypatch.setattr("linnet.pipeline.tune.code_version", lambda: "0.2.0+other")
    monkeypatch.setattr("linnet.core.store.code_version", lambda: "0.2.0+other")
    told: list[Event] = []
    done = resume(run, store=store, on_event=told.append).step
    assert done.run.id == run == expected.id
    assert done.result["resumed_by"] == ["0.2.0+other"]
    assert done.result["resumed_step"] == 2
    assert done.run.code_version == expected.code_version
    assert [event.kind for event in told if "begun by other code" in event.message] == ["warning"]
    assert outcome(store, run) == outcome(whole, run)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"torch": "1.0.0"}, "was begun with torch 1.0.0; here is"),
        ({"base_files": {"config.json": "0"}}, "is not the model that tune-.* was begun with"),
        ({"recipe": {"method": "lora", "epochs": 2, "bath_size": 8}}, "has a recipe that this version does not read"),
        ({"code_version": "0.0.1+other"}, "was begun with other rows, or by a version that read them otherwise"),
    ],
)
def test_what_changes_numbers_is_refused(stopped: Path, tmp_path: Path, change: dict[str, object], said: str) -> None:
    store = Store(Path(shutil.copytree(stopped, tmp_path / "store")))
    view = find_run(store, "tune")
    (view.folder / "request.json").write_text(json.dumps({**view.request, **change}))
    with pytest.raises(StoreError, match=said):
        resume("tune", store=store)
    assert [path.name for path in (store.root / "runs").iterdir()] == [view.id]


@pytest.fixture(scope="module")
def stopped(decoder: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one stopped run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINNET_THREADS", "1")

        def armed(points: str) -> None:
            patch.setenv("LINNET_FAILPOINTS", points)
            failpoints._armed.cache_clear()
            failpoints._hits.clear()

        store = Store(tmp_path_factory.mktemp("stopped"))
        stop(decoder, rows, store, armed)
    failpoints._armed.cache_clear()
    return store.root


@pytest.mark.skipif(os.environ.get("LINNET_NIGHTLY") != "1", reason="converts a second model: LINNET_NIGHTLY=1 runs it")
def test_a_conversion_that_answers_otherwise_is_stopped(
    decoder: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    done = tune(str(decoder), rows, LORA, store=store)
    monkeypatch.setattr(merging, "GGUF_AGREEMENT", 1.1)
    with pytest.raises(GateFailed, match="The engine gives another likeliest token than torch"):
        merge(done.step.run.id, store=store)
    assert not list((tmp_path / "runs").glob("merge-*/record.json"))
