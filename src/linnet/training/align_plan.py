"""From a base, a number of rows and what the user chose to the recipe of a preference method, with its reasons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from linnet.core.errors import InputError, did_you_mean
from linnet.core.files import sha256_file
from linnet.metrics.user_metric import parse_name
from linnet.text.preferences import JUDGED, PREFERENCE, PROMPTS
from linnet.training.recipe import Recipe
from linnet.training.tune_plan import Chosen, plan_recipe

# What each method reads.
METHODS = {"dpo": PREFERENCE, "kto": JUDGED, "orpo": PREFERENCE, "grpo": PROMPTS}
REWARDS = ("exact", "json")
MOST_SAMPLES, MOST_ANSWER, MOST_BETA = 64, 4096, 10
BATCH = 8


class AlignRecipe(Recipe):
    """A recipe of a preference method: always an adapter, so that the base is what its answers are compared with.

    `objective`: dpo (Rafailov et al. 2023), kto (Ethayarajh et al. 2024), orpo (Hong et al. 2024) or grpo (Shao et al.
    2024). `beta` is the weight of staying near the base; in orpo that of the odds ratio. grpo samples `samples` answers
    of at most `answer_tokens` for each prompt at temperature 1 and judges them by `reward`: exact, json, or a file of
    the user's, whose hash is `reward_sha256`.
    """

    objective: str
    beta: float
    reward: str = ""
    reward_sha256: str = ""
    samples: int = 0
    answer_tokens: int = 0

    @property
    def shown_method(self) -> str:
        return self.objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Aligning:
    """What the user said beside `Chosen`; 0 and "" leave it to the plan."""

    objective: str
    beta: float = 0.0
    reward: str = ""
    samples: int = 0
    answer_tokens: int = 0


def check_aligning(said: Aligning) -> Aligning:
    """The choices with defaults filled in. Raises InputError for what does not fit the method, NotFound."""
    found = said
    if said.objective == "grpo":
        if not said.reward:
            hint = f"Give --reward {' | '.join(REWARDS)} | FILE.py, a function score(prediction, references, example)."
            raise InputError("grpo learns from a reward, and none is named.", hint)
        found = replace(said, samples=said.samples or 4, answer_tokens=said.answer_tokens or 64)
        if not 0 <= found.beta <= MOST_BETA:
            raise InputError(f"--beta {said.beta:g} is outside of 0 to {MOST_BETA}.", "0 is usual with grpo.")
        if not 2 <= found.samples <= MOST_SAMPLES:
            raise InputError(f"--samples {found.samples} is outside of 2 to {MOST_SAMPLES}.", "Answers are compared.")
        if not 1 <= found.answer_tokens <= MOST_ANSWER:
            raise InputError(f"--answer-tokens {found.answer_tokens} is outside of 1 to {MOST_ANSWER}.")
        return replace(found, reward=reward_name(said.reward))
    for flag, value in (("reward", said.reward), ("samples", said.samples), ("answer-tokens", said.answer_tokens)):
        if value:
            raise InputError(f"--{flag} is of grpo; the method is {said.objective}.", "Leave it out.")
    found = replace(found, beta=said.beta or 0.1)
    if not 0 < found.beta <= MOST_BETA:
        raise InputError(f"--beta {said.beta:g} is outside of 0 to {MOST_BETA}.", "0.1 is usual.")
    return found


def reward_name(name: str) -> str:
    """A reward's name, a file's with its absolute path. Raises InputError for an unknown one, NotFound."""
    if name in REWARDS:
        return name
    if ".py" not in name:
        raise InputError(
            f"No reward is called {name!r}.{did_you_mean(name, list(REWARDS))}",
            f"Known: {', '.join(REWARDS)}; or FILE.py, FILE.py:FUNCTION.",
        )
    path, function = parse_name(str(Path(name).expanduser()))
    return f"{path}:{function}"


def plan_alignment(
    said: Aligning, chosen: Chosen, examples: int, parameters: int, context: int
) -> tuple[AlignRecipe, list[str]]:
    """The recipe for `examples` rows, and why, a line each. Raises InputError."""
    said = check_aligning(said)
    if chosen.neftune_alpha:
        raise InputError(f"--neftune is of answers that are imitated; the method is {said.objective}.", "Leave it out.")
    plain, _ = plan_recipe(replace(chosen, method="lora"), examples, parameters, context)
    epochs = chosen.epochs or (1 if said.objective == "grpo" else max(1, min(3, round(12000 / max(examples, 1)))))
    rate = chosen.learning_rate or plain.learning_rate / 10
    batch = chosen.batch_size or BATCH
    if said.objective == "kto" and batch < 2:
        raise InputError("--batch 1: kto compares answers of a batch with each other.", "Choose 2 or more.")
    hashed = sha256_file(parse_name(said.reward)[0]) if said.objective == "grpo" and said.reward not in REWARDS else ""
    fields = {"epochs": epochs, "learning_rate": rate, "batch_size": batch, "objective": said.objective,
              "beta": said.beta, "reward": said.reward, "reward_sha256": hashed, "samples": said.samples,
              "answer_tokens": said.answer_tokens}  # fmt: skip
    recipe = AlignRecipe.model_validate(plain.to_json() | fields)
    return recipe, _reasons(recipe, said, chosen)


def _reasons(recipe: AlignRecipe, said: Aligning, chosen: Chosen) -> list[str]:
    named = "as chosen"
    lines = [
        f"method {recipe.objective}: {named}; an adapter, so that the base stays to be compared with",
        f"beta {recipe.beta:g}: " + ("no pull towards the base" if not recipe.beta else _WHY[recipe.objective]),
        f"epochs {recipe.epochs}: {named if chosen.epochs else 'few, for what is compared is soon learned by heart'}",
        f"learning rate {recipe.learning_rate:.3g}: "
        + (named if chosen.learning_rate else "a tenth of the rate for answers that are imitated"),
        f"batch size {recipe.batch_size}: {named if chosen.batch_size else 'rows a step'}",
        f"lora rank {recipe.lora_rank}, alpha {recipe.lora_alpha}: on every linear layer",
    ]
    if said.objective == "grpo":
        name = recipe.reward if recipe.reward in REWARDS else Path(recipe.reward).name
        each = f"{recipe.samples} answers a prompt, up to {recipe.answer_tokens} tokens each"
        lines += [f"reward {name}: {named}", f"samples {recipe.samples}: {each}"]
    return lines


_WHY = dict.fromkeys(("dpo", "kto", "grpo"), "the pull towards the base") | {"orpo": "the weight of the odds ratio"}
