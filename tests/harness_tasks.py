"""Task files for lm-evaluation-harness whose data lie beside them: choices, texts, whole texts, and a group."""

from __future__ import annotations

import json
from pathlib import Path

COLOURS = ("red", "green", "blue", "white")
CHOICE = """\
output_type: multiple_choice
doc_to_text: "{{question}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: "{{label}}"
metric_list:
  - metric: acc
  - metric: acc_norm
"""
TEXT = """\
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs:
  until: ["}}", "\\n"]
  max_gen_toks: 12
  do_sample: false
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""
WHOLE = """\
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{question}}"
metric_list:
  - metric: word_perplexity
  - metric: bits_per_byte
"""


def write_tasks(folder: Path, count: int = 8) -> Path:
    """`lamp_choice`, `lamp_text`, `lamp_whole` and the group `lamp` on `count` examples; gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        colour = COLOURS[i % 4]
        said = f"Make it {colour} in the hall" + ", please" * (i % 3)
        choices = [f" {one}{' lamp' if i % 2 else ''}" for one in COLOURS]
        rows.append({"question": said, "choices": choices, "label": i % 4, "answer": colour})
    for name, part in (("test", rows), ("train", rows[:3])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    for name, body in (("choice", CHOICE), ("text", TEXT), ("whole", WHOLE)):
        write_task(folder, f"lamp_{name}", body)
    mean = "aggregate_metric_list:\n  - metric: acc\n    weight_by_size: true\n"
    write_task(folder, "lamp_second", CHOICE.replace("Answer:", "Colour:"))
    (folder / "lamp.yaml").write_text(f"group: lamp\ntask:\n  - lamp_choice\n  - lamp_second\n{mean}")
    return folder


def write_task(folder: Path, name: str, body: str) -> Path:
    """A task on the folder's rows."""
    path = folder / f"{name}.yaml"
    files = f"    test: {folder}/test.jsonl\n    train: {folder}/train.jsonl\n"
    data = f"dataset_path: json\ndataset_kwargs:\n  data_files:\n{files}  cache_dir: {folder}/cache\n"
    path.write_text(f"task: {name}\n{data}test_split: test\nfewshot_split: train\n{body}metadata:\n  version: 1.0\n")
    return path
