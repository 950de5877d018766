"""What `linnet quantize` and `linnet convert` print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linnet.cli.printing import plain

if TYPE_CHECKING:
    from linnet.engines.quantization.gguf_quantize import Quantized
    from linnet.engines.quantization.quantize_gate import Gate
    from linnet.engines.quantization.quantize_guided import Searched
    from linnet.stages.convert import Converted, Possible

SHOWN = 5


def print_converted(found: Converted) -> None:
    print(plain(f"{found.name or found.path}"))
    for name, value in (*_size(found.quantized), *_search(found.search), *_proof(found.gate)):
        print(plain(f"  {name:<12}{value}"))


def _size(made: Quantized) -> list[tuple[str, str]]:
    shares = ", ".join(f"{share.tensors} {name}" for name, share in made.types.items())
    lines = [
        ("type", made.file_type),
        ("size", f"{made.size_bytes / 1e6:,.1f} MB, {made.bits_per_weight:.2f} bits a weight"),
        ("tensors", shares),
    ]
    for title, names in (("fallbacks", made.fallbacks), ("unguided", made.unguided)):
        lines += [(title if not i else "", name) for i, name in enumerate(names[:SHOWN])]
        if len(names) > SHOWN:
            lines.append(("", f"and {len(names) - SHOWN} more (--json has all)"))
    return lines


def _search(found: Searched | None) -> list[tuple[str, str]]:
    if found is None:
        return []
    measured = f"{found.measured.mean:.4g} nats on {found.measured.tokens} held-out tokens of {found.text}"
    added = f"{found.predicted:.4g} predicted and {found.in_search:.4g} measured while choosing"
    best = f"{found.measurements} measurements, at most {found.gap:.2%} from the best choice by them"
    return [("chosen by", best), ("loss", f"mean KL divergence {measured}"), ("", added)]


def _proof(gate: Gate) -> list[tuple[str, str]]:
    lines = [("loads", "yes")]
    if gate.tokens_compared:
        lines.append(("tokens", f"as the source's tokenizer, on {gate.tokens_compared} texts"))
    if gate.divergence:
        found = gate.divergence
        lines.append(
            (
                "predictions",
                f"mean KL divergence {found.mean:.4g} nats, same likeliest token {found.same_top_share:.1%}",
            )
        )
        lines.append(("", f"on {found.tokens} tokens of built-in text: a sign of life, not an evaluation"))
    return lines


def print_possible(found: Possible) -> None:
    print(plain(f"{found.source}: " + ("can be converted" if found.possible else "cannot be converted")))
    if found.architecture:
        print(plain(f"  architecture {found.architecture}"))
    print(f"  passed       {', '.join(found.passed)}")
    if found.quantized:
        for name, value in _size(found.quantized):
            print(plain(f"  {name:<13}{value}"))
    if found.problem:
        print(plain(f"  problem      {found.problem}"))
    if found.hint:
        print(plain(f"  next         {found.hint}"))
