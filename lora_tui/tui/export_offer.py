"""What can be exported of a member: looked up on disk, in the export screen's thread."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lora_tui.core import export_check, export_files, hardware, makings, members, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.exporting import LORA, ExportFile, ExportPlan
from lora_tui.core.members import Member
from lora_tui.core.parameters import model_folder, read_config
from lora_tui.core.quantisation import NEEDED, QUANTS, Forecast, Quant, plan, plan_adapter
from lora_tui.core.runs import Run
from lora_tui.core.safetensors import Tensor, read_header, read_model
from lora_tui.jobs import export
from lora_tui.tui.wanting import Latest

_NO_MATRIX = (
    "It needs an importance matrix, and no training data is known to compute one from: "
    "export the run that trained it."
)
_LORA = "the adapter alone, to be loaded beside its base"

USUAL = ("f16", "q8_0", "q4_k_m")
"""What is ticked at first: exact, nearly exact, small."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is ticked, and where the files go; `looks` counts how often it was looked at anew."""

    quants: frozenset[str] = frozenset(USUAL)
    folder: str = ""
    looks: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """A type that is offered: for whom it is, and what llama.cpp makes of this model's shapes.

    `refused` says why it cannot be made here; empty where it can.
    """

    quant: str
    about: str
    bytes: int | None = None
    types: Mapping[str, int] = field(default_factory=dict)
    sentence: str = ""
    matrix: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """A whole and proven file, and when it was made, where that is known.

    `earlier` names what of the model has changed since: its adapter, its base; empty if nothing.
    """

    file: ExportFile
    when: float | None = None
    earlier: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """All that is known of an export before it is made; `latest` is the one started last."""

    choice: Choice
    about: str = ""
    kinds: tuple[Kind, ...] = ()
    made: Mapping[str, Made] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    free: int | None = None
    latest: Run | None = None


class OfferWatch:
    """Looks at a member, and again whenever something else is chosen."""

    def __init__(
        self, member: Member, wanted: Latest[Choice | None], show: Callable[[Offer], object]
    ) -> None:
        """Nothing is read yet; as long as nothing is wanted, what was chosen last is."""
        self._member, self._wanted, self._show = member, wanted, show

    def run(self) -> None:
        """Hand over offers until the screen closes."""
        latest = makings.latest("export", [self._member.id])
        first = _chosen_before(self._member, latest)
        begun = Offer(first, described(self._member), kinds_of(self._member), latest=latest)
        origin = Origin(self._member)
        while not self._wanted.is_set():
            choice = self._wanted.value or first
            self._show(looked_at(self._member, replace(begun, choice=choice), origin.now()))
            while not self._wanted.is_set() and (self._wanted.value or first) == choice:
                self._wanted.wait()


class Origin:
    """What files of a member are made from, as it is now: read again only where it has changed."""

    def __init__(self, member: Member) -> None:
        """Nothing is read yet."""
        self._member = member
        self._stamps: list[tuple[str, int, int]] = []
        self._found: Mapping[str, str] = {}

    def now(self) -> Mapping[str, str]:
        """Its digests; empty where it cannot be read."""
        member = self._member
        is_adapter = member.method == "lora"
        adapter = (model_folder(member.path) or Path(member.path)) if is_adapter else None
        model = export_check.source_of(member)
        try:
            stamps = [_stamp(file) for one in (adapter, model) if one for file in one.iterdir()]
            if stamps != self._stamps:
                self._found = export_files.origin(adapter, model)
                self._stamps = stamps
        except OSError:  # what is missing, the problems say
            return {}
        return self._found


def _stamp(path: Path) -> tuple[str, int, int]:
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns


def _chosen_before(member: Member, latest: Run | None) -> Choice:
    """As it was exported last; else the usual types, where such files go."""
    try:
        plan = ExportPlan.from_document(runs.read_info(latest)["options"]) if latest else None
    except (LookupError, TypeError, ValueError):
        plan = None
    if plan is None:
        return Choice(folder=str(export.folder_of(member)))
    return Choice(frozenset(plan.quants), plan.folder)


def described(member: Member) -> str:
    """What is exported, in one line."""
    rank = members.settings_of(member).get("lora", {}).get("r")
    if member.method == "lora":
        return f"LoRA{f' of rank {rank}' if rank else ''} on {member.base}"
    is_trained = member.method == "full" and member.run
    return f"all weights, trained from {member.base}" if is_trained else f"all of {member.path}"


def kinds_of(member: Member) -> tuple[Kind, ...]:
    """Every type, with what llama.cpp makes of the model's shapes; without that if unreadable."""
    folder = export_check.source_of(member)
    try:
        tensors = read_model(folder) if folder else []
    except LoraTuiError:  # which the problems say
        tensors = []
    config = read_config(folder) if folder else {}
    has_rows = members.knows_rows(member)
    kinds = [_kind(one, tensors, config, has_rows=has_rows) for one in QUANTS.values()]
    if member.method == "lora":
        kinds.append(_alone(member))
    return tuple(kinds)


def _alone(member: Member) -> Kind:
    """An adapter by itself; without a size where its file cannot be read."""
    folder = model_folder(member.path) or Path(member.path)
    try:
        found = plan_adapter(read_header(folder / "adapter_model.safetensors"))
    except LoraTuiError:  # which the problems say
        found = Forecast(None, {})
    return Kind(LORA, _LORA, found.bytes, found.types, refused=_unfaithful(member))


def _kind(
    quant: Quant, tensors: Sequence[Tensor], config: Mapping[str, Any], *, has_rows: bool
) -> Kind:
    found = Forecast(None, {})
    if tensors:
        found = plan(tensors, config, quant.name, has_matrix=has_rows)
    shapes = (found.bytes, found.types, found.sentence)
    lacks = _NO_MATRIX if quant.matrix == NEEDED and not has_rows else ""
    matrix = quant.matrix if has_rows else ""
    return Kind(quant.name, quant.about, *shapes, matrix, found.refused or lacks)


def _unfaithful(member: Member) -> str:
    """Why an adapter alone would say something else than it does on its base."""
    folder = str(export.folder_of(member))
    alone, f16 = (ExportPlan(member=member, quants=(one,), folder=folder) for one in (LORA, "f16"))
    others = export_check.refusals(f16)
    return " ".join(one for one in export_check.refusals(alone) if one not in others)


def looked_at(member: Member, offer: Offer, origin: Mapping[str, str]) -> Offer:
    """The offer with what lies in the folder, what is wrong with the choice, and what is free.

    `origin` is what files would be made from now.
    """
    folder, chosen = offer.choice.folder, offer.choice.quants
    quants = tuple(kind.quant for kind in offer.kinds if kind.quant in chosen)
    wanted = ExportPlan(member=member, quants=quants, folder=folder)
    found = {kind.quant: _made(wanted.path(kind.quant), member, origin) for kind in offer.kinds}
    try:
        free = hardware.free_disk(Path(folder))
    except OSError:
        free = None
    return replace(
        offer,
        made={quant: made for quant, made in found.items() if made is not None},
        problems=tuple(export_check.refusals(wanted)) if quants else (),
        free=free,
    )


def _made(path: Path, member: Member, origin: Mapping[str, str]) -> Made | None:
    file = export_files.made(path)
    changed = export_files.changed(path, origin) if file else ""
    earlier = "base" if changed == "model" and member.method == "lora" else changed
    try:
        return Made(file, path.stat().st_mtime, earlier) if file else None
    except OSError:  # it was removed in between
        return None
