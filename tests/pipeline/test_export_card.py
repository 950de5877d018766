"""A card is one that the Hub's own library reads, its numbers are the report's, and no licence is made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linnet.core.errors import InputError
from linnet.core.records import Asked, Decision, FileEntry, Footprint, Model, Specialist
from linnet.pipeline.export_card import MINILM, Told, plain_card, specialist_card
from linnet.pipeline.export_licence import Part, combined, known_licence

REPORT = json.loads((Path(__file__).parent / "sample_report.json").read_text())
FILES = {"model.onnx": FileEntry(sha256="a" * 64, size_bytes=12)}
FOOTPRINT = Footprint(
    size_bytes=1, latency_ms_p50=1, latency_ms_p95=1, documents_per_second=1, peak_memory_bytes=1,
    energy_joules_per_1000=None, energy_note="",
)  # fmt: skip
TEXT_REPORT = {
    "test": {
        "primary": "field_f1",
        "examples": 24,
        "metrics": {
            "exact_match": {"value": 0.0, "low": 0.0, "high": 0.138},
            "field_f1": {"value": 0.33159, "low": 0.25, "high": 0.42},
        },
        "identities": {"field_f1": {"dataset": "d" * 64}},
        "detectable": {"field_f1": "Less than 16.6 points is not seen."},
    },
    "candidates": [
        {"name": "few-shot", "kind": "baseline", "test": {"field_f1": {"value": 0.2, "low": 0.1, "high": 0.3}}},
        {"name": "large", "kind": "reference", "test": {"field_f1": {"value": 0.5, "low": 0.4, "high": 0.6}}},
    ],
    "choice": {"reason": "The smallest.", "warnings": ["Few examples."]},
    "data": {"counts": {"train": 58, "test": 24}, "warnings": []},
    "gates": [{"name": "merged = GGUF", "measured": "99.7%", "passed": True}],
}


def made(kind: str = "classify", **changes: Any) -> Specialist:
    base = {"name": "builtin:minilm", "sha256": "b" * 64, "licence": "Apache-2.0", "source": MINILM}
    fields: dict[str, Any] = {
        "name": "support",
        "version": 3,
        "kind": kind,
        "candidate": "full-int8",
        "decision": Decision(labels=["a`b", "other"] if kind == "classify" else [], out_of_scope=None),
        "metric": {"name": "macro_f1" if kind == "classify" else "field_f1", "value": 0.9, "ci95": [0.8, 0.95]},
        "baseline": {},
        "footprint": FOOTPRINT,
        "licence": "Apache-2.0",
        "files": {},
        "lineage": {"base": base, "test_sha256": "c" * 64, "code_version": "0.1", "dataset": "e" * 64},
        "created": "",
        "asked": None if kind == "classify" else Asked(input="message", instruction="Write JSON.", answer_schema="{}"),
    }
    return Specialist.model_validate(fields | changes)


def read(card: bytes) -> Any:
    from huggingface_hub import ModelCard

    return ModelCard(card.decode())


def test_the_hubs_library_reads_a_classifiers_card() -> None:
    card = read(
        specialist_card(made(), REPORT, FILES, ["Load it."], Told(data_licence="cc-by-sa-4.0", language="en,de"))
    )
    assert card.data.license == "cc-by-sa-4.0"
    assert card.data.base_model == MINILM
    assert card.data.language == ["en", "de"]
    assert card.data.pipeline_tag == "text-classification"
    chosen = next(row for row in REPORT["candidates"] if row["status"] == "chosen")["test"]
    found = {one.metric_type: one for one in card.data.eval_results}
    assert set(found) == {"f1", "accuracy"}
    assert found["f1"].metric_value == round(chosen["macro_f1"]["value"], 4)
    assert f"{chosen['macro_f1']['low']:.4f} to {chosen['macro_f1']['high']:.4f}" in found["f1"].metric_name
    assert (found["f1"].dataset_split, found["f1"].dataset_revision) == ("test", "c" * 64)
    assert "| baseline: tfidf_logistic | macro_f1 | 0.7524 |" in card.text
    assert "On 420 test examples" in card.text
    assert "not the Hub's: `support`." in card.text
    assert "a" * 64 in card.text
    assert "only 8 test examples" in card.text


def test_the_hubs_library_reads_a_writers_card() -> None:
    told = Told(data_licence="own", dataset="me/tickets")
    card = read(specialist_card(made("extract"), TEXT_REPORT, FILES, [], told))
    assert card.data.datasets == ["me/tickets"]
    assert "not the Hub's" not in card.text
    first, second = card.data.eval_results
    assert (first.metric_type, first.metric_value, first.dataset_revision) == ("field_f1", 0.3316, "d" * 64)
    assert second.metric_type == "exact_match"
    for said in ("baseline: few-shot", "reference: large", "0.2500 to 0.4200", "Less than 16.6", "Few examples.",
                 "merged = GGUF", "Write JSON.", "train 58"):  # fmt: skip
        assert said in card.text


def test_without_a_report_the_record_speaks() -> None:
    card = read(specialist_card(made(), {}, {}, [], Told()))
    assert card.data.eval_results[0].metric_value == 0.9
    bare = read(specialist_card(made(metric={}), {}, {}, [], Told()))
    assert bare.data.eval_results is None
    assert "No evaluation is known." in bare.text


HOSTILE = 'x"\nlicense: mit\n---\n| <script>alert(1)</script> | \u2028\x85\x07 `code`'


def test_names_from_outside_break_nothing() -> None:
    base = {"name": HOSTILE, "sha256": HOSTILE, "licence": HOSTILE, "source": HOSTILE}
    report = {**TEXT_REPORT, "choice": {"reason": HOSTILE, "warnings": [HOSTILE]}}
    odd = made("extract", lineage={"base": base}, candidate=HOSTILE, decision=Decision(labels=[HOSTILE]))
    card = read(specialist_card(odd, report, FILES, [], Told()))
    assert card.data.license == "other"
    assert "<script>" not in card.text.replace("\\<script\\>", "")
    assert all(len(line) < 2000 for line in card.text.splitlines())


def test_a_models_card_has_no_results() -> None:
    model = Model(name="qwen:q8", kind="decoder", format="gguf", path="/x", files={}, licence="apache-2.0",
                  source="hf:Qwen/Qwen3-0.6B-GGUF", max_tokens=1)  # fmt: skip
    card = read(plain_card(model, FILES, [], Told()))
    assert (card.data.license, card.data.base_model) == ("apache-2.0", "Qwen/Qwen3-0.6B-GGUF")
    assert card.data.eval_results is None
    assert "did not evaluate" in card.text


@pytest.mark.parametrize(
    "told",
    [Told(language="en\nlicense: mit"), Told(dataset="a b"), Told(data_licence="x: y"), Told(language="English!")],
)
def test_what_no_card_holds_is_refused(told: Told) -> None:
    with pytest.raises(InputError):
        told.check()


def parts(*licences: str) -> list[Part]:
    return [
        Part(what, what, one) for what, one in zip(("base model", "training data", "teacher"), licences, strict=False)
    ]


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (("MIT", "own"), "mit"),
        (("Apache-2.0", "mit"), "apache-2.0"),
        (("apache license 2.0", "CC BY 4.0"), "apache-2.0"),
        (("mit", "cc-by-sa-4.0"), "cc-by-sa-4.0"),
        (("llama3.2", "cc-by-4.0"), "llama3.2"),
        (("apache-2.0", "cc-by-4.0", "cc-by-nc-4.0"), "cc-by-nc-4.0"),
        (("gpl-3.0", "cc-by-nc-nd-4.0"), "cc-by-nc-nd-4.0"),
        (("apache-2.0", ""), "other"),
        (("unknown", "mit"), "other"),
        (("apache-2.0", "my-company-terms"), "other"),
        (("own", "own"), "other"),
    ],
)
def test_the_most_restrictive_licence_counts(licences: tuple[str, ...], expected: str) -> None:
    found = combined(parts(*licences))
    assert found.name == expected
    unknown = [one for one in licences if known_licence(one) is None]
    assert len(found.unknown) == len(unknown)
    assert sum("check it before" in sentence for sentence in found.sentences) == len(unknown)


def test_terms_that_may_not_fit_together_are_named() -> None:
    (said,) = combined(parts("llama3", "gpl-3.0")).sentences
    assert "`gpl-3.0`" in said
    assert "`llama3`" in said
    assert not combined(parts("mit", "apache-2.0")).sentences
    assert "does not allow" in combined(parts("mit", "cc-by-nd-4.0")).sentences[0]


def test_a_teachers_licence_counts() -> None:
    lineage = made().lineage | {"teacher": {"name": "hf:big/teacher", "licence": "cc-by-nc-4.0"}}
    card = read(specialist_card(made(lineage=lineage), {}, {}, [], Told(data_licence="own")))
    assert card.data.license == "cc-by-nc-4.0"
    assert "| teacher | hf:big/teacher | cc-by-nc-4.0 |" in card.text
