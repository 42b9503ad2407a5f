"""Whether a merged model on disk is its base with its adapter, by its tensors and by what it says.

Four things are asked. Every tensor of the files is compared with what the files of the base and
of the adapter give (`merge_audit`). transformers loads the folder, and nothing is missing or left
over. Its tokenizer makes of a text full of traps what the adapter's own makes of it. And over
held-out rows the model's logits are compared with those of the base with the adapter beside it, all
computed in float32: what remains is the rounding of the weights to their format.

How much that may be follows from the format. With unit roundoff u (2^-8 for bfloat16, 2^-11 for
float16), each rounded matrix turns what passes through it by about u / 3 of its size; L layers add
that up like sqrt(L). So the mean difference is held to 3 u sqrt(L) times the spread of the logits
(their standard deviation at a place), the largest to 100 u sqrt(L) times it: single places where a
model is of two minds move much further. Measured, in units of u sqrt(L) times the spread: mean 0.1
to 1.2, largest 2 to 44, over the demo model with adapters that move it by a KL of 7e-6 to 11, over
random SmolLM2-, Qwen2- and Llama-3-shaped models of 2 layers, and one of SmolLM2-135M's shape. In
float32 what is left is float32's own noise: 6e-6 at most in the mean, 2e-4 at the largest, held to
1e-4 and 1e-3.

The adapter must also have moved the model ten times as far as the rounding did (in KL): else what
it learnt is lost in the format, and nothing can be told.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lora_tui.core import text
from lora_tui.core.members import BASE, Member
from lora_tui.core.proofs import FAIL, PASS, UNKNOWN, Proof
from lora_tui.engine import failures
from lora_tui.engine.distances import divergence
from lora_tui.engine.exact import Exact
from lora_tui.engine.merge_audit import Audit
from lora_tui.engine.probing import PROBE_TEXT
from lora_tui.engine.resident import Resident

PLACES = 2048
"""How many next tokens are compared: as many as PRACTICE asks for."""

_OF_A_ROW = 128
_AT_ONCE = 32
_POWER = 10
_GREEDY = {"bfloat16": 0.9, "float16": 0.98, "float32": 0.999}
"""The least share of equal greedy tokens; of flat random logits, 0.957, 0.995 and 1 are."""


def reload(folder: Path, *, trust: bool) -> tuple[Any, list[str]]:
    """The merged model as transformers loads it, and why that is not as it should be."""
    try:
        model, told = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto", output_loading_info=True, trust_remote_code=trust
        )
    except Exception as error:  # whatever transformers raises is a finding here
        return None, [f"transformers cannot load it: {failures.explain(error)[0]}"]
    odd = {name: sorted(told[f"{name}_keys"]) for name in ("missing", "unexpected", "mismatched")}
    return model.eval(), [
        f"{len(keys)} of its tensors are {name} (first: {keys[0]})."
        for name, keys in odd.items()
        if keys
    ]


def about_tokens(folder: Path, own: Any, *, trust: bool) -> list[str]:
    """What the tokenizer in `folder` does otherwise than `own`, the one that it has to be."""
    try:
        found = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust)
    except Exception as error:  # tokenizers raises bare exceptions
        return [f"transformers cannot load its tokenizer: {failures.explain(error)[0]}"]
    faults = []
    if found(PROBE_TEXT).input_ids != own(PROBE_TEXT).input_ids:
        faults.append("Its tokenizer makes other tokens of a text than the adapter's own.")
    if found.chat_template != own.chat_template:
        faults.append("Its chat template is not the one of the adapter, or of the base.")
    if odd := found.get_added_vocab().items() ^ own.get_added_vocab().items():
        names = sorted({name for name, _ in odd})
        faults.append(
            f"{len(names)} of its added tokens are not those of the adapter's own tokenizer "
            f"(first: {names[0]})."
        )
    return faults


@torch.no_grad()
def differences(
    resident: Resident, member: Member, merged: Any, rows: Sequence[Sequence[int]], stop: Any
) -> dict[str, float]:
    """How far the merged model's logits are from those of the base with `member`.

    Of each row the last places, where the answer is; rows until there are `PLACES`. Empty where
    there is not one.
    """
    sums = dict.fromkeys(("mean", "greedy", "kl", "from_base", "spread"), 0.0)
    places, largest = 0, 0.0
    for ids in rows:
        if places >= PLACES:
            break
        stop.check()
        logits = []
        for id_ in (BASE, member.id):
            resident.use(id_)
            logits.append(_logits(resident.model, ids))
        logits.append(_logits(merged, ids))
        places += len(logits[0])
        for parts in zip(*(one.split(_AT_ONCE) for one in logits), strict=True):
            base, tuned, found = parts
            apart = (tuned - found).abs()
            largest = max(largest, float(apart.max().nan_to_num(math.inf)))
            sums["mean"] += float(apart.mean(-1).sum())
            sums["spread"] += float(tuned.std(-1).sum())
            sums["greedy"] += int((tuned.argmax(-1) == found.argmax(-1)).sum())
            wanted = tuned.log_softmax(-1)
            sums["kl"] += divergence(wanted, found.log_softmax(-1))
            sums["from_base"] += divergence(wanted, base.log_softmax(-1))
    if not places:
        return {}
    return {
        "max_logit_difference": largest,
        "mean_logit_difference": sums["mean"] / places,
        "greedy_equal_share": sums["greedy"] / places,
        "kl": sums["kl"] / places,
        "kl_from_base": sums["from_base"] / places,
        "logit_spread": sums["spread"] / places,
        "positions": places,
    }


def _logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    with Exact():
        given = torch.tensor([list(ids)], device=model.device)
        answer = model(input_ids=given, use_cache=False, logits_to_keep=_OF_A_ROW)
    logits: torch.Tensor = answer.logits[0]
    return logits.float()


def verdict(
    measured: Mapping[str, float],
    audit: Audit,
    faults: Sequence[str],
    *,
    dtype: str,
    layers: int,
    tokens: Sequence[str] = (),
) -> Proof:
    """The proof: figures beside their limits.

    Args:
        measured: What `differences` found; empty where the model could not be loaded, or there
            was nothing to measure on.
        audit: What `merge_audit.audit` found.
        faults: Of loading it.
        dtype: The format of its weights.
        layers: How many layers it has.
        tokens: What `about_tokens` found.
    """
    reasons = [*faults, *tokens]
    if audit.broken:
        reasons.append(f"{_some(audit.broken)} hold NaN or infinity.")
    if audit.off:
        reasons.append(
            f"{_some(audit.off)} are not what the files of the base and the adapter give."
        )
    limit = limits(dtype, layers, measured["logit_spread"]) if measured else {}
    for name, most in limit.items():
        found, words = measured[name], name.replace("_", " ")
        is_least = name == "greedy_equal_share"
        if not (found >= most if is_least else found <= most):  # NaN is neither
            bound = "at least" if is_least else "at most"
            reasons.append(
                f"The {words} is {text.number(found)}, and rounding to {dtype} leaves {bound} "
                f"{text.number(most)}."
            )
    known = FAIL if reasons else PASS
    if not reasons and (reasons := list(_untold(measured, audit, dtype))):
        known = UNKNOWN
    figures = {
        **measured,
        "token_ids_equal": not tokens,
        "tensors": audit.tensors,
        "tensors_compared": audit.checked,
        "tensors_off": len(audit.off),
        "tensors_with_nan": len(audit.broken),
        "reloads": not faults,
    }
    return Proof(known, figures, limit, tuple(reasons))


def _untold(measured: Mapping[str, float], audit: Audit, dtype: str) -> Iterator[str]:
    """Why nothing can be told, where nothing is wrong."""
    if not audit.checked:
        yield (
            f"None of its {audit.tensors} tensors could be compared with the files of the base and "
            "the adapter: nothing but what it says was looked at."
        )
    if not measured:
        yield "There was nothing to measure on: whether it says the same cannot be told."
    elif measured["kl_from_base"] <= _POWER * measured["kl"]:
        yield _too_weak(measured["kl_from_base"], measured["kl"], dtype)


def _too_weak(moved: float, rounded: float, dtype: str) -> str:
    if not moved:
        return "The adapter changes nothing in what was measured: nothing can be told."
    return (
        f"The adapter moves the model by a KL of {text.number(moved)}, rounding to {dtype} by "
        f"{text.number(rounded)}: what it learnt may be lost in that. "
        + ("It changes next to nothing." if dtype == "float32" else "Merge to float32.")
    )


def limits(dtype: str, layers: int, spread: float) -> dict[str, float]:
    """What the differences are held to."""
    if dtype == "float32":
        largest, mean = 1e-3, 1e-4
    else:
        step = torch.finfo(getattr(torch, dtype)).eps / 2 * math.sqrt(layers) * spread
        largest, mean = 100 * step, 3 * step
    return {
        "max_logit_difference": largest,
        "mean_logit_difference": mean,
        "greedy_equal_share": _GREEDY[dtype],
    }


def _some(names: Sequence[str]) -> str:
    return f"{len(names)} of its tensors (first: {names[0]})"
