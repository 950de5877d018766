"""Read a chat template of unknown origin without rendering it, and say whether it may be used.

Templates are programs: they can nest until a parser crashes, recurse, loop for ever or fill the memory. The text is
measured first, then parsed (never compiled), then the tree is weighed in template_work.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from linnet.core.files import sha256_bytes
from linnet.formats.model_report import TemplateReport

if TYPE_CHECKING:
    from jinja2 import Environment, nodes

MAX_BYTES = 256 << 10
MAX_DEPTH = 100  # of brackets, and of blocks; 20,000 brackets crash an engine's parser
MAX_TREE = 400  # of the tree: long chains of + or | nest too, one level a link
MAX_DIGITS = 30
MAX_TOKENS = 40_000  # names, marks and spaces; templates of today have up to 10,000, and more only cost time

_ENDS = {"endif", "endfor", "endmacro", "endset", "endcall", "endfilter", "endgeneration", "endwith", "endblock"}
_STARTS = {name.removeprefix("end") for name in _ENDS}
_LIMIT = threading.Lock()


class Refused(Exception):
    """Why a template may not be used, as the end of a sentence. Does not leave this package."""


def check_template(source: str) -> TemplateReport:
    """The report of one template; `ok` is False and `refusal` says why when it may not be used."""
    data = source.encode("utf-8", "surrogatepass")
    unknown: tuple[str, ...] = ()
    refusal = ""
    try:
        if len(data) > MAX_BYTES:
            raise Refused(f"is {len(data)} bytes long, at most {MAX_BYTES} are allowed")
        _measure(source)
        unknown = _weigh(source)
    except Refused as error:
        refusal = f"The chat template {error}."
    return TemplateReport(
        sha256=sha256_bytes(data), length=len(data), ok=not refusal, refusal=refusal, unknown_filters=unknown
    )


@cache
def _environment() -> Environment:
    """The syntax that transformers and llama.cpp read: loop controls, and the tag that marks the answer."""
    from jinja2 import Environment
    from jinja2.ext import Extension
    from jinja2.parser import Parser

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012 - jinja2 wants it so

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    # Nothing is rendered here, so there is nothing to escape.
    return Environment(extensions=["jinja2.ext.loopcontrols", Generation])  # noqa: S701


def _measure(source: str) -> None:
    """Depth of brackets and blocks and length of numbers, token by token, so that no parser meets a bomb."""
    from jinja2 import TemplateSyntaxError

    brackets = blocks = 0
    opening = False  # the next name says which block this is
    previous: tuple[str, str] | None = None
    try:
        for number, (line, kind, text) in enumerate(_environment().lexer.tokeniter(source, None)):
            if number > MAX_TOKENS:
                raise Refused(f"has more than {MAX_TOKENS} names and marks")
            if kind == "operator" and text in "([{":
                brackets += 1
            elif kind == "operator" and text in ")]}":
                brackets -= 1
            elif kind in ("integer", "float") and len(text) > MAX_DIGITS:
                raise Refused(f"has a number of {len(text)} digits in line {line}")
            elif kind == "name" and opening:
                blocks += (text in _STARTS) - (text in _ENDS)
                opening, previous = False, ("block", text)
            elif kind == "operator" and text == "=" and previous == ("block", "set"):
                blocks -= 1  # {% set x = 1 %} needs no end, {% set x %} does
                previous = None
            if kind in ("block_begin", "block_end", "variable_begin"):
                opening, previous = kind == "block_begin", None
                brackets = 0
            if max(brackets, blocks) > MAX_DEPTH:
                what = "brackets" if brackets > MAX_DEPTH else "blocks"
                raise Refused(f"nests {what} deeper than {MAX_DEPTH} in line {line}")
    except TemplateSyntaxError as error:
        raise Refused(f"is not valid: {str(error.message)[:200]} (line {error.lineno})") from error


def _weigh(source: str) -> tuple[str, ...]:
    from jinja2 import TemplateSyntaxError

    from linnet.formats.template_work import weigh

    with _deeper():
        try:
            tree: nodes.Template = _environment().parse(source)
            return weigh(tree)
        except TemplateSyntaxError as error:
            raise Refused(f"is not valid: {str(error.message)[:200]} (line {error.lineno})") from error
        except RecursionError as error:
            raise Refused("nests too deeply to be read") from error
        except (ValueError, OverflowError, UnicodeError) as error:
            raise Refused(f"holds a value that cannot be read: {str(error)[:100]}") from error


@contextmanager
def _deeper() -> Iterator[None]:
    """Room for 100 brackets inside 100 blocks: jinja2 takes some fifteen Python frames for each bracket.

    Safe, because calls from Python to Python use no C stack. The limit is the process's: one at a time.
    """
    with _LIMIT:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(max(before, 6000))
        try:
            yield
        finally:
            sys.setrecursionlimit(before)
