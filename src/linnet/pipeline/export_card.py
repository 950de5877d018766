"""The model card that goes with an export: Hugging Face's metadata, then what a person must know, in plain sentences.

Form of the metadata: huggingface.co/docs/hub/model-cards (`model-index` holds the evaluation results). Every number
comes from the specialist's record and report; what they do not say is left out or named as unknown.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from linnet.core.errors import InputError
from linnet.core.names import to_name
from linnet.core.records import FileEntry, Model, Specialist
from linnet.pipeline.export_licence import OWN, Licence, Part, combined

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_HUB = re.compile(r"hf:([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]{0,95}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
# The Hub's words for metrics that have one; others keep ours.
_TYPES = {
    "macro_f1": "f1", "micro_f1": "f1", "weighted_f1": "f1", "token_f1": "f1", "rouge1": "rouge", "rouge2": "rouge",
    "rougeL": "rouge", "rougeLsum": "rouge", "pass_at_k": "code_eval",
}  # fmt: skip
PIPELINES = {"classify": "text-classification", "tag": "token-classification"}  # the Hub's words for kinds
_SENTENCES = {
    "classify": "Gives a text one of its labels.",
    "tag": "Finds the spans of its labels in a text.",
    "extract": "Writes a text's facts as a JSON record, held to a schema.",
    "generate": "Writes a text from a text.",
    "chat": "Answers in a chat.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What only the user knows: the data's licence ("own": nobody else's), its name, the language's code (`en`)."""

    data_licence: str = ""
    dataset: str = ""
    language: str = ""

    def check(self) -> None:
        """Raise InputError for what no card can hold."""
        if self.language and not all(_LANGUAGE.fullmatch(code) for code in self.language.split(",")):
            raise InputError(f"--language {self.language[:40]!r}: a code such as en is needed; several with commas.")
        for flag, value in (("--dataset", self.dataset), ("--data-licence", self.data_licence)):
            if value and not _PLAIN.fullmatch(value):
                raise InputError(f"{flag} {value[:40]!r}: one word is needed, such as org/name or cc-by-4.0.")


@dataclass(frozen=True, slots=True)
class Result:
    """One metric of one thing on the test examples; low and high are NaN where no interval is known."""

    metric: str
    value: float
    low: float
    high: float

    @property
    def interval(self) -> str:
        return "" if math.isnan(self.low + self.high) else f"{self.low:.4f} to {self.high:.4f}"


def licence_of_made(specialist: Specialist, told: Told) -> Licence:
    """The licence that follows from base, data and teacher."""
    return combined(_parts(specialist, told))


def specialist_card(
    specialist: Specialist, report: Mapping[str, Any], files: Mapping[str, FileEntry], use: Sequence[str], told: Told
) -> bytes:
    """README.md of an exported specialist. `report` is its report.json, `use` the lines on how these files are used."""
    results, baselines = _results(specialist, report), _baselines(specialist, report)
    licence = licence_of_made(specialist, told)
    rows = [
        *_front(specialist, results, licence, _identity(specialist, report), told),
        f"# {specialist.full_name}",
        "",
        f"{_SENTENCES.get(specialist.kind, '')} Made with Linnet for the task `{specialist.name}`.",
        "",
        *_about(specialist, report),
        *_section("Use", [f"- {line}" for line in use]),
        *_section("Results", _result_rows(specialist, report, results, baselines)),
        *_section("Made of", [*_part_rows(_parts(specialist, told), licence), *_names_here(specialist, told)]),
        *_section("How it was made", _making(specialist, report)),
        *_section("Limits", _limits(specialist, report)),
        *_section("Files", _file_rows(files) if files else []),
    ]
    return "\n".join(rows).encode()


def built_card(draft: Specialist, full_name: str, report: Mapping[str, Any]) -> bytes:
    """MODEL_CARD.md of a specialist that has just been built, under its final name; `draft` has no version yet."""
    named = draft.model_copy(update={"version": int(full_name.rpartition(":")[2])})
    use = [f"`linnet serve` answers for `{full_name}`; report.html beside this card shows where it errs."]
    return specialist_card(named, report, {}, use, Told())


def plain_card(model: Model, files: Mapping[str, FileEntry], use: Sequence[str], told: Told) -> bytes:
    """README.md of a model that nobody evaluated here."""
    part = Part("model", _bare(model.name), _bare(model.licence))
    licence = combined([part])
    head: dict[str, Any] = {
        **_licence_lines(licence, [part]),
        "pipeline_tag": "text-generation" if model.kind == "decoder" else "feature-extraction",
        **({"base_model": found[1]} if (found := _HUB.search(model.source)) else {}),
        **({"language": told.language.split(",")} if told.language else {}),
        "tags": ["linnet"],
    }
    rows = [
        *_yaml(head),
        f"# {model.name}",
        "",
        f"A model as Linnet keeps it, from {_line(model.source)}. Linnet did not evaluate it.",
        "",
        *_section("Use", [f"- {line}" for line in use]),
        *_section("Made of", _part_rows([part], licence)),
        *_section("Files", _file_rows(files)),
    ]
    return "\n".join(rows).encode()


def _front(specialist: Specialist, results: Sequence[Result], licence: Licence, identity: str, told: Told) -> list[str]:
    """The metadata; every value is JSON, which YAML reads, so that nothing in a name can break out."""
    task = PIPELINES.get(specialist.kind, "text-generation")
    metrics = [
        {
            "type": _TYPES.get(one.metric, one.metric),
            "value": round(one.value, 4),
            "name": f"{one.metric} (95 % interval {one.interval})" if one.interval else one.metric,
        }
        for one in results
    ]
    data = told.dataset or to_name(specialist.name)
    dataset = {"name": told.dataset or specialist.name, "type": data, "split": "test"}
    if identity:
        dataset["revision"] = identity
    found = {"task": {"type": task}, "dataset": dataset, "metrics": metrics}
    head = {
        **_licence_lines(licence, _parts(specialist, told)),
        "base_model": _hub_id(specialist),
        "datasets": [data],
        **({"language": told.language.split(",")} if told.language else {}),
        "pipeline_tag": task,
        "tags": ["linnet"],
        **({"model-index": [{"name": specialist.full_name, "results": [found]}]} if metrics else {}),
    }
    return _yaml(head)


def _yaml(head: Mapping[str, Any]) -> list[str]:
    return ["---", *(line for key, value in head.items() for line in _block(key, value)), "---", ""]


def _block(key: str, value: Any, indent: str = "") -> list[str]:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        rows = [f"{indent}{key}:"]
        for one in value:
            lines = [line for name, inner in one.items() for line in _block(name, inner, f"{indent}  ")]
            rows += [f"{indent}- {lines[0].strip()}", *lines[1:]]
        return rows
    if isinstance(value, dict):
        inner_rows = [line for name, inner in value.items() for line in _block(name, inner, f"{indent}  ")]
        return [f"{indent}{key}:", *inner_rows]
    return [f"{indent}{key}: {json.dumps(_clean(value), ensure_ascii=False)}"]


def _clean(value: Any) -> Any:
    """Without what YAML does not read inside quotes."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() else " " for c in value)
    return [_clean(one) for one in value] if isinstance(value, list) else value


def _licence_lines(licence: Licence, parts: Sequence[Part]) -> dict[str, str]:
    if licence.name != "other":
        return {"license": licence.name}
    own = all(part.licence == OWN for part in parts)
    return {"license": "other", "license_name": "own" if own else "to-be-checked"}


def _hub_id(specialist: Specialist) -> str:
    """The base's name on the Hub where it is known, else its name here in a form that metadata may hold."""
    base = specialist.lineage.get("base", {})
    name, source = str(base.get("name", "")), str(base.get("source", ""))
    if name.startswith("builtin:minilm"):
        return MINILM
    found = _HUB.search(source) or _HUB.search(name)
    return found[1] if found else to_name(name) if name else "unknown"


def _names_here(specialist: Specialist, told: Told) -> list[str]:
    """A sentence on what in the metadata is no name on the Hub."""
    base = _hub_id(specialist)
    found = [*(() if "/" in base else (base,)), *(() if told.dataset else (to_name(specialist.name),))]
    if not found:
        return []
    return [f"Names in the metadata that are the maker's and not the Hub's: {', '.join(map(_code, found))}."]


def _parts(specialist: Specialist, told: Told) -> list[Part]:
    base, teacher = specialist.lineage.get("base", {}), specialist.lineage.get("teacher")
    parts = [Part("base model", _bare(base.get("name", "unknown")), _bare(base.get("licence") or specialist.licence))]
    stated = told.data_licence or _bare(specialist.lineage.get("data_licence", ""))
    parts.append(Part("training data", told.dataset or specialist.name, stated))
    if isinstance(teacher, dict):
        parts.append(Part("teacher", _bare(teacher.get("name", "unknown")), _bare(teacher.get("licence", ""))))
    return parts


def _interval(metric: str, found: Any) -> Result | None:
    if not isinstance(found, dict) or not isinstance(found.get("value"), int | float):
        return None
    low, high = (float(found.get(side, math.nan)) for side in ("low", "high"))
    return Result(metric, float(found["value"]), low, high)


def _results(specialist: Specialist, report: Mapping[str, Any]) -> list[Result]:
    """Every metric on the test examples, the one that decided first."""
    first = str(specialist.metric.get("name", ""))
    test = report.get("test")  # of those that write text
    if not isinstance(test, dict):
        rows = [row for row in report.get("candidates", []) if row.get("status") == "chosen"]
        test = {"metrics": rows[0]["test"]} if rows else {}
    kept = [_interval(name, found) for name, found in test.get("metrics", {}).items()]
    results = sorted((one for one in kept if one), key=lambda one: (one.metric != first, one.metric))
    if results:
        return results
    low, high = specialist.metric.get("ci95") or (math.nan, math.nan)
    return [Result(first, float(specialist.metric["value"]), low, high)] if "value" in specialist.metric else []


def _baselines(specialist: Specialist, report: Mapping[str, Any]) -> list[tuple[str, Result]]:
    first, found = str(specialist.metric.get("name", "")), []
    for row in report.get("candidates", []):
        kind = row.get("kind")
        one = _interval(first, row.get("test", {}).get(first)) if kind in ("baseline", "reference") else None
        if one is not None:
            found.append((f"{kind}: {row.get('name', '')}", one))
    return found


def _identity(specialist: Specialist, report: Mapping[str, Any]) -> str:
    """The hash of the test examples."""
    test = report.get("test")
    known = test.get("identities", {}).get(test.get("primary"), {}) if isinstance(test, dict) else {}
    found = known.get("dataset") or specialist.lineage.get("test_sha256") or specialist.lineage.get("test_questions")
    return str(found or specialist.lineage.get("dataset", ""))


def _section(title: str, rows: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *rows, ""] if rows else []


def _about(specialist: Specialist, report: Mapping[str, Any]) -> list[str]:
    rows = []
    if specialist.decision.labels:
        rows.append(f"- Labels: {', '.join(map(_code, specialist.decision.labels))}")
    if specialist.decision.out_of_scope:
        rows.append(
            f"- Out of scope: {_code(specialist.decision.out_of_scope)}, below {specialist.decision.threshold:g}"
        )
    if specialist.asked is not None and specialist.asked.instruction:
        rows.append(f"- Instruction: {_line(specialist.asked.instruction)}")
    if specialist.asked is not None and specialist.asked.shots:
        rows.append(f"- {len(specialist.asked.shots) // 2} examples stand before each question.")
    chosen = report.get("choice", {}).get("reason", "")
    rows.append(f"- Candidate {_code(specialist.candidate)}. {_line(chosen)}".rstrip())
    return [*rows, ""]


def _result_rows(
    specialist: Specialist,
    report: Mapping[str, Any],
    results: Sequence[Result],
    baselines: Sequence[tuple[str, Result]],
) -> list[str]:
    if not results:
        return ["No evaluation is known."]
    rows = ["| | metric | value | 95 % interval |", "|---|---|---|---|"]
    rows += [f"| this one | {one.metric} | {one.value:.4f} | {one.interval or 'not known'} |" for one in results]
    rows += [
        f"| {_line(name)} | {one.metric} | {one.value:.4f} | {one.interval or 'not known'} |" for name, one in baselines
    ]
    found = report.get("test")
    test: Mapping[str, Any] = found if isinstance(found, dict) else {}
    count = test.get("examples") or report.get("headline", {}).get("examples") or 0
    identity = _identity(specialist, report)
    said = f"On {count} test examples" if count else "On the test examples"
    rows += ["", f"{said}{f', sha256 {_code(identity)}' if identity else ''}."]
    seen = test.get("detectable", {}).get(test.get("primary"), "")
    return [*rows, _line(seen)] if seen else rows


def _part_rows(parts: Sequence[Part], licence: Licence) -> list[str]:
    rows = ["| part | name | licence |", "|---|---|---|"]
    rows += [f"| {part.what} | {part.name} | {part.licence or 'not known'} |" for part in parts]
    rows.append("")
    if licence.name != "other":
        rows.append(f"The most restrictive of these is `{licence.name}`.")
    return [*rows, *licence.sentences]


def _making(specialist: Specialist, report: Mapping[str, Any]) -> list[str]:
    lineage, recipe = specialist.lineage, specialist.lineage.get("settings", {}).get("recipe", {})
    named = ("method", "epochs", "batch_size", "learning_rate", "lora_rank", "quantization", "seed", "max_tokens")
    rows = []
    if recipe:
        unused = ("lora_rank",) if "lora" not in str(recipe.get("method")) else ()
        values = [(k, recipe[k]) for k in named if k not in unused and recipe.get(k) not in (None, "", "none")]
        rows.append(f"- Recipe: {', '.join(f'{key} {_number(value)}' for key, value in values)}")
    counts = report.get("data", {}).get("counts", {})
    splits = {name: found.get("rows") for name, found in report.get("data", {}).get("splits", {}).items()}
    sizes = [f"{name} {size}" for name, size in (splits or counts).items() if name in ("train", "validation", "test")]
    if sizes:
        rows.append(f"- Examples: {', '.join(sizes)}; dataset {_code(lineage.get('dataset', ''))}")
    base = lineage.get("base", {})
    if base.get("sha256"):
        rows.append(f"- Base: {_line(base.get('name', ''))}, sha256 {_code(base['sha256'])}")
    passed = [gate for gate in report.get("gates", []) if gate.get("passed")]
    rows += [f"- Gate: {_line(gate['name'])}: {_line(str(gate.get('measured', '')))}" for gate in passed]
    return [*rows, f"- Code: Linnet {_line(lineage['code_version'])}"] if "code_version" in lineage else rows


def _limits(specialist: Specialist, report: Mapping[str, Any]) -> list[str]:
    rows = ["It is good at what its examples show, in their language and style."]
    if specialist.kind in PIPELINES:
        rows.append("It knows only the labels above.")
    if specialist.asked is not None and specialist.asked.answer_schema:
        rows.append("A schema makes answers well formed, not true.")
    choice = report.get("choice", {})
    warnings = [*choice.get("warnings", []), *report.get("data", {}).get("warnings", [])]
    if choice.get("recommends_baseline") and not choice.get("warnings"):
        warnings.insert(0, "A baseline is as good: consider it instead.")
    return [" ".join(rows), *([""] if warnings else []), *(f"- {_line(text)}" for text in warnings)]


def _file_rows(files: Mapping[str, FileEntry]) -> list[str]:
    rows = ["| file | bytes | sha256 |", "|---|---|---|"]
    return [*rows, *(f"| {name} | {entry.size_bytes} | `{entry.sha256}` |" for name, entry in sorted(files.items()))]


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else _line(str(value))


def _line(text: str) -> str:
    """One line of a table, in which nothing of a name is markup."""
    plain = "".join(c if c.isprintable() else " " for c in str(text))[:500]
    return re.sub(r"([|<>`])", r"\\\1", " ".join(plain.split()))


def _code(text: str) -> str:
    """The same between backticks."""
    return f"`{_bare(text)}`"


def _bare(text: str) -> str:
    """One line without what could be markup."""
    return " ".join("".join(c if c.isprintable() and c not in "|<>`" else " " for c in str(text))[:500].split())
