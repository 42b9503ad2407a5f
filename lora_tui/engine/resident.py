"""One base in memory, and the adapters and models attached to it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForCausalLM

from lora_tui.core.comparison_table import ZERO
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import BASE, Member
from lora_tui.core.parameters import model_folder
from lora_tui.core.platforms import Platform
from lora_tui.core.presets import Preset
from lora_tui.engine import adapters, distances, failures, generation, models
from lora_tui.engine.generation import OnTokens, Settings
from lora_tui.engine.templates import ChatTemplate

_NOBODY = "__base__"  # PEFT's name for no adapter, in a mixed batch


@dataclass(frozen=True, slots=True)
class Attached:
    """How attaching went: seconds from files to ready, and what has to be said of it."""

    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Place:
    """Where a member's weights are: an adapter's name on the shared base, or a model of its own."""

    name: str = ""
    model: Any = None
    is_plain: bool = False
    parameters: int = 0
    bytes: int = 0


class Resident:
    """A base that stays loaded while adapters come, go and take turns.

    On a CPU weights and arithmetic are float32, so that every figure is exact and one batch of
    several adapters gives the same tokens as one after another; on a GPU they are as in the preset.
    """

    def __init__(self, preset: Preset, platform: Platform, base: Any = None) -> None:
        """Load the tokenizer, and the base where it is not given.

        Raises:
            LoraTuiError: one of them is not there or broken.
        """
        self.preset, self.platform = preset, platform
        self.tokenizer = models.load_tokenizer(preset)
        self.template = ChatTemplate(self.tokenizer)
        self._base = models.load_base(preset, platform) if base is None else base
        # A base in its files' own format stands beside others in theirs.
        self._whole_dtype = self._base.dtype if base is None else "auto"
        self._base.eval()
        self.dtype = str(self._base.dtype).removeprefix("torch.")
        self._shared: Any = None  # the PeftModel round the base, once there is an adapter
        self._places: dict[str, _Place] = {BASE: _Place(is_plain=True)}
        self._current = BASE
        self._is_bare = False  # whether PEFT's layers are switched off

    def attach(self, member: Member) -> Attached:
        """Load a member beside the others.

        Raises:
            LoraTuiError: its files are broken, or it does not fit this base; the others are as
                they were.
        """
        began = time.perf_counter()
        if member.method == BASE:
            self._places[member.id] = self._places[BASE]
            return Attached(0.0)
        if member.id in self._places:
            return Attached(0.0)
        warnings: tuple[str, ...] = ()
        if member.method == "full":
            place = _Place(model=self._load_whole(member))
        else:
            place, warnings = self._load_adapter(member)
        self._places[member.id] = place
        return Attached(time.perf_counter() - began, warnings)

    def _load_whole(self, member: Member) -> Any:
        if not (Path(member.path) / "config.json").is_file():
            raise LoraTuiError(f"{member.path} holds no model.", "Was it deleted or moved?")
        with failures.naming(member.name):
            return AutoModelForCausalLM.from_pretrained(member.path, dtype=self._whole_dtype).to(
                self._base.device
            )

    def _load_adapter(self, member: Member) -> tuple[_Place, tuple[str, ...]]:
        folder = model_folder(member.path) or Path(member.path)
        files = adapters.read(folder)
        warnings = [*files.warnings]
        if files.is_zero:
            warnings.append(ZERO)
        if further := files.further:
            warnings.append(
                f"It does more than add low-rank updates ({', '.join(further)}): it stands on a "
                "base of its own, and its update norm is not computed."
            )
            own = models.load_base(self.preset, self.platform)
            place = _Place(name="own")
            place.model, told = put_on(own, None, files, "own", folder)
        else:
            place = _Place(name=f"a{len(self._places)}-{time.monotonic_ns()}")
            place.is_plain = files.is_plain
            try:
                self._shared, told = put_on(self._base, self._shared, files, place.name, folder)
            finally:
                self._switch()  # loading switches the new one on
        place.parameters, place.bytes = files.parameters, files.bytes
        return place, (*warnings, *told)

    def detach(self, id_: str) -> None:
        """Give a member's memory back; the base takes its turn if it was in use."""
        if id_ == BASE or id_ not in self._places:
            return
        if self._current == id_:
            self.use(BASE)
        place = self._places.pop(id_)
        if place.model is None and place.name:
            self._take_off(place.name)
        if self.platform.on_gpu:
            torch.cuda.empty_cache()

    def _take_off(self, name: str) -> None:
        if len(self._shared.peft_config) == 1:
            self._base, self._shared = self._shared.unload(), None
            return
        self._shared.delete_adapter(name)
        self._switch()

    def use(self, id_: str) -> float:
        """Let a member answer; the milliseconds it took.

        Raises:
            KeyError: it is not attached.
        """
        began = time.perf_counter()
        place = self._places[id_]
        changes = place is not self._places[self._current]
        self._current = id_
        if changes:
            self._switch()
        return 1000 * (time.perf_counter() - began)

    def _switch(self) -> None:
        """Make PEFT's state that of the current member; each call walks over every layer."""
        place = self._places[self._current]
        if self._shared is None or place.model is not None:
            return
        tuner = self._shared.base_model
        if place.name:
            tuner.set_adapter(place.name, inference_mode=True)
            if self._is_bare:
                tuner.enable_adapter_layers()
        else:
            tuner.disable_adapter_layers()
        self._is_bare = not place.name

    @property
    def model(self) -> Any:
        """The model of the current member, in evaluation mode."""
        own = self._places[self._current].model
        shared = self._shared if self._shared is not None else self._base
        return own if own is not None else shared

    def can_mix(self, ids: Sequence[str]) -> bool:
        """Whether one batch may hold answers of all these members."""
        return all(self._places[id_].is_plain for id_ in ids)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        ids: Sequence[str],
        settings: Settings,
        *,
        stop: Any,
        on_tokens: OnTokens | None = None,
    ) -> list[list[int]]:
        """The new token ids of each prompt, answered by the member of the same place in `ids`.

        Raises:
            ValueError: several members that no batch may hold together.
        """
        options: dict[str, Any] = {}
        with self._all_awake(ids) as mixed:
            if mixed:
                options["adapter_names"] = [self._places[id_].name or _NOBODY for id_ in ids]
            return generation.generate(
                self.model,
                self.tokenizer,
                prompts,
                settings,
                stop=stop,
                on_tokens=on_tokens,
                **options,
            )

    @contextmanager
    def _all_awake(self, ids: Sequence[str]) -> Iterator[bool]:
        """The one member in use, or all adapters switched on for a batch that names them."""
        if len(set(ids)) == 1:
            self.use(ids[0])
            yield False
            return
        if not self.can_mix(ids):
            raise ValueError("these members do not fit into one batch")
        before = self._current
        self.use(next(id_ for id_ in ids if self._places[id_].name))
        try:
            yield True
        finally:
            self.use(before)

    def sizes(self, id_: str) -> dict[str, Any]:
        """What an attached member trains and weighs, and how far its weights moved."""
        place = self._places[id_]
        if not place.name:
            return {"update_norms": distances.of_whole(self._base, place.model)}
        model = place.model if place.model is not None else self._shared
        layers = [pair for pair in lora_layers(model) if place.name in pair[1].scaling]
        norms = distances.of_adapter(layers, place.name) if place.model is None else None
        return {
            "update_norms": norms,
            "trainable_parameters": place.parameters,
            "adapter_bytes": place.bytes,
        }


def put_on(
    base: Any, shared: Any, files: adapters.Files, name: str, folder: Path
) -> tuple[Any, list[str]]:
    """Let PEFT load an adapter, and see whether all of it went in.

    Args:
        base: The model that it goes on.
        shared: PEFT's model round it, where other adapters are on it already.
        files: What was found in `folder`.
        name: What PEFT is to call it.
        folder: The adapter's.

    Returns:
        PEFT's model, and what has to be said.

    Raises:
        LoraTuiError: it does not fit; the base is as it was.
    """
    files.config.inference_mode = True
    wrapped = shared
    try:
        if wrapped is None:
            wrapped = PeftModel(base, files.config, adapter_name=name)
        result = wrapped.load_adapter(str(folder), name, torch_device=str(base.device))
    except Exception as error:  # PEFT raises whatever torch does
        if shared is None:
            _strip(base)
        else:
            shared.peft_config.pop(name, None)
            for _, layer in lora_layers(shared):
                layer.delete_adapter(name)
        raise adapters.explain_misfit(error) from error
    wrapped.eval()
    expected = len(get_peft_model_state_dict(wrapped, adapter_name=name))
    return wrapped, adapters.about_keys(result, name, expected)


def lora_layers(model: Any) -> list[tuple[str, Any]]:
    """The LoRA layers that PEFT put into a model, with their names."""
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, LoraLayer)]


def _strip(base: Any) -> None:
    """Take out what PEFT put in before it failed; it hands out nothing to undo it with."""
    for name, layer in lora_layers(base):
        parent, _, own = name.rpartition(".")
        setattr(base.get_submodule(parent), own, layer.get_base_layer())
