"""The report page in a real browser: nothing sticks out, no words of a plot lie on one another, dark is dark."""

from __future__ import annotations

import copy
import html
import json
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

from linnet.pipeline import text_page
from linnet.pipeline.report_page import render
from tests.pipeline import text_sample

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SAMPLE = json.loads((Path(__file__).parent / "sample_report.json").read_text("utf-8"))

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason=f"no browser: none of {', '.join(NAMES)} is on the PATH"),
]

# Chromium's windows are at least 500 px wide, so that a phone is a frame inside a page. The page itself runs no script.
FRAME = """<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<body style="margin:0"><iframe width="{width}" height="{height}" srcdoc="{page}"
style="border:0;display:block"></iframe>
<pre></pre><script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const box = element => element.getBoundingClientRect();
  const name = e => `${{e.tagName}}.${{e.getAttribute("class")}} ${{e.textContent.slice(0, 40)}}`;
  const seen = [...page.body.querySelectorAll("*")].filter(e => box(e).width && !e.closest(".hidden, .stack thead"));
  const out = seen.filter(e => box(e).right > root.clientWidth + 1 || box(e).left < -1).map(name);
  const over = [];
  for (const plot of page.querySelectorAll("svg.plot")) {{
    const words = [...plot.querySelectorAll("text:not(.small):not(.count)")].filter(e => box(e).width);
    words.forEach((a, i) => words.slice(i + 1).forEach(b => {{
      const wide = Math.min(box(a).right, box(b).right) - Math.max(box(a).left, box(b).left);
      const tall = Math.min(box(a).bottom, box(b).bottom) - Math.max(box(a).top, box(b).top);
      if (wide > 1 && tall > 3) over.push(a.textContent + " | " + b.textContent);
    }}));
  }}
  const shown = e => box(e).width > 0;
  document.querySelector("pre").textContent = JSON.stringify({{
    width: root.clientWidth, scroll: root.scrollWidth, height: root.scrollHeight, out, over,
    plots: [...page.querySelectorAll("svg.plot")].filter(shown).length,
    paper: getComputedStyle(page.body).backgroundColor,
  }});
}};
</script>"""


def browse(folder: Path, page: str, width: int, *flags: str, height: int = 1000) -> str:
    """Open a page in a frame of `width`; the browser's standard output."""
    assert BROWSER is not None
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(width=width, height=height, page=html.escape(page)), "utf-8")
    profile = folder / f"profile-{width}-{len(flags)}-{height}"
    command = [BROWSER, *QUIET, f"--user-data-dir={profile}", f"--window-size={max(500, width)},{height}", *flags]
    done = subprocess.run([*command, frame.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def measure(folder: Path, page: str, width: int, *flags: str) -> dict[str, Any]:
    dump = browse(folder, page, width, "--dump-dom", *flags)
    found = re.findall(r"<pre>(\{.*?\})</pre>", dump, re.DOTALL)
    assert found, f"the measuring script did not run: {dump[-400:]}"
    measured: dict[str, Any] = json.loads(html.unescape(found[-1]))
    return measured


def pixels(path: Path) -> bytes:
    """The picture data of a PNG, unpacked but still filtered: a blank picture holds very few different bytes."""
    data, place, packed = path.read_bytes(), 8, b""
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        if data[place + 4 : place + 8] == b"IDAT":
            packed += data[place + 8 : place + 8 + length]
        place += length + 12
    return zlib.decompress(packed)


def crowded() -> dict[str, Any]:
    """77 labels, ten candidates, long names, and a text without a space."""
    content = copy.deepcopy(SAMPLE)
    count = 77
    labels = [f"label_{i}_updated_after_cheque_or_cash_deposit" if i % 5 == 0 else f"label_{i}" for i in range(count)]
    confusion = [[0] * count for _ in range(count)]
    for i in range(count):
        confusion[i][i] += 40 - i % 10
        confusion[i][(i * 7 + 3) % count] += i % 10
    test = content["candidates"][1]["test"]
    scores = {label: {"precision": 0.9, "recall": 0.9, "f1": 0.9, "support": 40} for label in labels}
    test |= {"labels": labels, "confusion": confusion, "per_class": scores}
    content["task"]["task"]["labels"] = labels
    for split in content["data"]["splits"].values():
        split["labels"] = dict.fromkeys(labels, 40)
    for extra in range(6):
        more = copy.deepcopy(content["candidates"][0])
        more["name"] = f"hf:Organisation/Some-Long-Model-Name-{extra}-lora-Q4_K_M"
        more["footprint"]["size_bytes"] *= 1 + extra
        content["candidates"].insert(2, more)
    content["specialist"] = "a-name-of-sixty-four-characters-that-has-hardly-a-place-to-break:12"
    content["mistakes"][0]["text"] = "x" * 400
    content["mistakes"][0]["true"] = "y" * 90
    content["choice"]["recommends_baseline"] = True
    return content


PAGES = {"sample": SAMPLE, "crowded": crowded(), "empty": {}}


@pytest.mark.parametrize("width", [360, 390, 768, 1001, 1280])
@pytest.mark.parametrize("name", list(PAGES))
def test_nothing_sticks_out_and_no_words_overlap(tmp_path: Path, name: str, width: int) -> None:
    found = measure(tmp_path, render(PAGES[name]), width)
    assert found["width"] == width
    assert found["scroll"] <= found["width"], f"the page scrolls sideways; too wide: {found['out'][:5]}"
    assert found["out"] == []
    assert found["over"] == []
    assert (found["plots"] >= 8) is (name != "empty")


def crowded_text() -> dict[str, Any]:
    """Nine candidates, long names, equal sizes, and answers without a space."""
    content = text_sample.sample()
    for extra in range(4):
        more = text_sample.row(f"hf:Organisation/Some-Long-Model-Name-{extra}-lora-Q4_K_M", "rejected", 0.9, 98, 118)
        content["candidates"].insert(1, more)
    content["specialist"] = "a-name-of-sixty-four-characters-that-has-hardly-a-place-to-break:12"
    content["worst"][0] |= {"asked": "x" * 400, "answered": "y" * 300, "expected": ["z" * 200, ""]}
    content["test"]["slices"][0]["name"] = "w" * 90
    content["choice"] |= {"recommends_baseline": True, "warnings": ["v" * 120]}
    content["reference"]["error"] = "u" * 200
    return content


@pytest.mark.parametrize("width", [360, 1001, 1280])
@pytest.mark.parametrize("name", ["sample", "crowded"])
def test_nothing_sticks_out_of_a_page_of_a_task_that_writes_text(tmp_path: Path, name: str, width: int) -> None:
    found = measure(tmp_path, text_page.render(text_sample.sample() if name == "sample" else crowded_text()), width)
    assert (found["scroll"] <= found["width"], found["out"], found["over"]) == (True, [], [])
    assert found["plots"] == 3


@pytest.mark.parametrize("width", [390, 1280])
def test_the_screenshot_is_not_blank(tmp_path: Path, width: int) -> None:
    picture = tmp_path / "page.png"
    browse(tmp_path, render(SAMPLE), width, f"--screenshot={picture}", height=1600)
    assert len(set(pixels(picture))) > 100
    blank = tmp_path / "blank.png"
    browse(tmp_path, "<!doctype html><title>blank</title>", width, f"--screenshot={blank}", height=1601)
    assert len(set(pixels(blank))) < 20


def test_dark_and_light_follow_the_reader(tmp_path: Path) -> None:
    page = render(SAMPLE)
    dark = measure(tmp_path, page, 1280, "--blink-settings=preferredColorScheme=0")
    (tmp_path / "light").mkdir()
    light = measure(tmp_path / "light", page, 1280, "--blink-settings=preferredColorScheme=1")
    assert dark["paper"] == "rgb(20, 24, 27)"
    assert light["paper"] == "rgb(252, 252, 250)"
