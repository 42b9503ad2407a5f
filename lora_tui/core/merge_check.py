"""What keeps adapters from being merged, as far as their files tell it: before an engine starts."""

import difflib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_tui.core import locations
from lora_tui.core.adapter_names import STARTS_AT_BASE, half_of, module_of
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import BASE, Member, told_apart
from lora_tui.core.merging import DENSE, DTYPES, METHODS, MergePlan
from lora_tui.core.parameters import model_folder, read_config
from lora_tui.core.runs import Run
from lora_tui.core.safetensors import read_header, read_model

_ANY_RANK = frozenset({"cat", "svd"})
_MOST_RANK = 4096
_UNMERGEABLE = {
    "layer_replication": "its layers share their weights, which a merge would change several times",
    "alora_invocation_tokens": "it is at work behind certain tokens only",
    "arrow_config": "it chooses among other adapters as it answers",
    "use_qalora": "PEFT cannot merge it",
    "target_parameters": (
        "its updates are of bare parameters, such as a mixture's experts, and only those of layers "
        "are merged here"
    ),
}
"""What of an adapter no weight of a base can hold."""

_ONLY_ALONE = {
    "use_dora": "DoRA, which is no sum of updates",
    "modules_to_save": "layers trained whole (modules_to_save)",
    "trainable_token_indices": "trained tokens",
    "lora_bias": "trained biases (lora_bias)",
    "use_bdlora": "block-diagonal factors (use_bdlora)",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
    "velora_config": "VeLoRA",
}
"""What an adapter has beyond low-rank updates, which no rule for combining several is made for."""


@dataclass(frozen=True, slots=True)
class _Adapter:
    """An adapter's files: its settings, the shapes of its tensors, and why there are none."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    problem: str = ""

    @property
    def ranks(self) -> dict[str, int]:
        """The rank of each layer."""
        return {module_of(key): at[0] for key, at in self.shapes.items() if half_of(key) == "A"}

    def saved(self, layer: str) -> tuple[int, ...] | None:
        """The shape of a layer that it holds whole, by the end of its name."""
        found = (
            at
            for key, at in self.shapes.items()
            if f".{layer}." in key and ".token_adapter." not in key and not half_of(key)
        )  # a token adapter holds the trained rows alone
        return next((shape for shape in found if len(shape) == 2), None)


def refusals(plan: MergePlan) -> list[str]:
    """Everything that is wrong with a plan, each a sentence with what to do; empty if nothing is.

    Reads the headers of files, never a tensor.
    """
    members = told_apart(plan.members)
    found = [*_about_members(members), *_about_settings(plan)]
    adapters = [_read(member) for member in members if member.method == "lora"]
    found += [one.problem for one in adapters if one.problem]
    whole = [one for one in adapters if not one.problem]
    if len({(member.base, member.revision) for member in members}) == 1:
        found += _about_base(members[0], whole)
    found += [text for one in whole for text in _about_kind(one)]
    if combines(plan):
        found += [text for one in whole for text in _about_combining(one)]
        found += _about_ranks(plan, whole)
    return list(dict.fromkeys(found))


def about_place(place: Path, members: Sequence[Member]) -> list[str]:
    """What keeps the result from being put into the folder `place`, each a sentence with a remedy.

    Nothing is written over what is merged, nor into it: a base or an adapter stays what it was.
    """
    place = place.expanduser().resolve()
    found = []
    if os.path.ismount(place):
        found.append(f"{place} is where a disk is mounted: name a folder in it.")
    for one in told_apart(members):
        for folder in (model_folder(one.path), model_folder(one.base, one.revision)):
            source = folder.resolve() if folder else None
            if source and (place == source or place in source.parents):
                found.append(f"{source} is merged, and lies in {place}: name another folder.")
            elif source and source in place.parents and place != _merged_of(one):
                found.append(f"{place} lies in {source}, which is merged: name another folder.")
    return list(dict.fromkeys(found))


def _merged_of(member: Member) -> Path | None:
    """Where the result of a run's adapter goes by itself."""
    return Run(Path(member.run)).merged.resolve() if member.run else None


def combines(plan: MergePlan) -> bool:
    """Whether another adapter is computed first: of several, or of one with a weight."""
    return len(plan.members) > 1 or plan.weights != (1.0,)


def _about_members(members: list[Member]) -> Iterator[str]:
    if not members:
        yield "Nobody is named: name a run, or the folder of an adapter."
    for member in members:
        if member.method == BASE:
            yield f"{member.name} is a base: name an adapter that is to go into it."
        elif member.method == "full":
            yield f"{member.name} is a whole model: there is nothing to merge, export it as it is."
    for id_, times in Counter(member.id for member in members).items():
        if times > 1:
            yield f"{id_} is named {times} times: name it once, with a larger weight."
    bases = dict.fromkeys((member.base, member.revision) for member in members)
    if len(bases) > 1:
        named = ", ".join(f"{base} {revision}".rstrip() for base, revision in bases)
        yield f"The adapters are of different bases ({named}): merge those of one base."


def _about_settings(plan: MergePlan) -> Iterator[str]:
    number = len(plan.members)
    if number and len(plan.weights) != number:
        yield f"Weights: {len(plan.weights)} for {number} adapters: give one for each."
    if not all(map(math.isfinite, plan.weights)):
        yield "A weight is no finite number: give numbers such as 0.7,0.3."
    elif plan.weights and not any(plan.weights):
        yield "Every weight is 0, which leaves the base: give one that is not."
    if plan.method not in METHODS:
        yield f'There is no method "{plan.method}"{_nearest(plan.method, METHODS)}.'
    if plan.dtype not in DTYPES:
        yield f'There is no number format "{plan.dtype}"{_nearest(plan.dtype, DTYPES)}.'
    if plan.method in DENSE and not 0 < plan.density <= 1:
        yield f"density is {plan.density:g}: give a share above 0 and up to 1."
    if not 0 <= plan.rank <= _MOST_RANK:
        yield f"rank is {plan.rank}: give 1 to {_MOST_RANK:,}, or 0 for the largest adapter's."
    if plan.rows < 1:
        yield "Measuring needs rows: give at least 1."


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f": there are {', '.join(known)}"


def _read(member: Member) -> _Adapter:
    name = member.name
    folder = model_folder(member.path) or Path(member.path)
    try:
        settings = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        if not isinstance(settings, dict):
            raise ValueError("it holds no settings")
    except (OSError, ValueError, RecursionError) as error:
        problem = f"{name}: adapter_config.json cannot be read ({error}): copy the adapter again."
        return _Adapter(name, problem=problem)
    if settings.get("peft_type") != "LORA":
        kind = f"{name} is an adapter of the kind {settings.get('peft_type')}, not LoRA"
        return _Adapter(name, problem=f"{kind}: merge it by PEFT itself.")
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        if (folder / "adapter_model.bin").is_file():  # looked at when it is loaded
            return _Adapter(name, settings)
        problem = f"{name} holds no adapter_model.safetensors: copy the adapter here again."
        return _Adapter(name, problem=problem)
    try:
        shapes = {tensor.name: tensor.shape for tensor in read_header(weights)}
    except LoraTuiError as error:
        return _Adapter(name, problem=f"{name}: {error.summary} Copy the adapter here again.")
    return _Adapter(name, settings, shapes)


def _about_base(member: Member, adapters: list[_Adapter]) -> Iterator[str]:
    folder = model_folder(member.base, member.revision)
    if folder is None:
        if not locations.is_hub_id(member.base):  # one on the Hub is fetched
            yield (
                f"Its base {member.base} is not there: put it back, or correct "
                "base_model_name_or_path in adapter_config.json."
            )
        return
    if read_config(folder).get("quantization_config"):
        yield (
            f"The base {member.base} is quantised, and a merge would round its weights again: "
            "name the 16-bit model as base_model_name_or_path in adapter_config.json."
        )
    try:
        shapes = {tensor.name: tensor.shape for tensor in read_model(folder)}
    except LoraTuiError:  # not as safetensors: nobody knows without loading
        return
    tokens = _shape_of("embed_tokens", shapes)
    for layer in ("embed_tokens", "lm_head"):
        own = _shape_of(layer, shapes) or tokens  # tied: the file holds one of them
        for adapter in adapters:
            theirs = adapter.saved(layer)
            if own and theirs and theirs[1] == own[1] and theirs[0] != own[0]:
                yield (
                    f"{adapter.name} was trained with {theirs[0]:,} tokens, its base has "
                    f"{own[0]:,}: load the base, call resize_token_embeddings({theirs[0]}), save "
                    "it, and name that folder as base_model_name_or_path in adapter_config.json."
                )


def _shape_of(layer: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    return next((shape for name, shape in shapes.items() if name.endswith(f"{layer}.weight")), None)


def _about_kind(adapter: _Adapter) -> Iterator[str]:
    for name, why in _UNMERGEABLE.items():
        if adapter.settings.get(name):
            yield f"{adapter.name} cannot become weights ({name}): {why}. Use it as an adapter."


def _about_combining(adapter: _Adapter) -> Iterator[str]:
    settings = adapter.settings
    has = [what for name, what in _ONLY_ALONE.items() if settings.get(name)]
    if settings.get("bias", "none") != "none":
        has.append("trained biases")
    if settings.get("init_lora_weights", True) not in STARTS_AT_BASE:
        has.append(f"a base of its own (init_lora_weights = {settings['init_lora_weights']})")
    if not has and not all(map(half_of, adapter.shapes)):
        has.append("tensors of the base's own")
    if not has and any(len(shape) != 2 for shape in adapter.shapes.values()):
        has.append("layers that are not linear")
    if has:
        yield f"{adapter.name} has {' and '.join(has)}: merge it alone, at weight 1."


def _about_ranks(plan: MergePlan, adapters: list[_Adapter]) -> Iterator[str]:
    ranks = [adapter.ranks for adapter in adapters]
    most = sum(max(own.values(), default=0) for own in ranks)
    if plan.method == "svd" and most and plan.rank > most:
        yield f"svd with rank {plan.rank} keeps all of {most}: choose cat, which does too."
    if plan.method not in METHODS or plan.method in _ANY_RANK:
        return
    layers = {name: {own[name] for own in ranks if name in own} for own in ranks for name in own}
    unlike = [name for name, several in layers.items() if len(several) > 1]
    if unlike:
        shown = ", ".join(
            f"{adapter.name} {own[unlike[0]]}"
            for adapter, own in zip(adapters, ranks, strict=True)
            if unlike[0] in own
        )
        yield (
            f"{plan.method} needs equal ranks, and in {len(unlike)} modules they are not "
            f"({unlike[0]}: {shown}): choose cat, which is exact, or svd."
        )
