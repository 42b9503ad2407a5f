"""What follows from a draft of a merge: how each adapter was made, size, room, what is wrong.

Reads files: call it in a thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lora_tui.core import folders, hardware, locations, members, merge_check
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import figure, whole
from lora_tui.core.members import Member
from lora_tui.core.merging import METHODS, REPORT
from lora_tui.core.parameters import Base, read_base, read_config
from lora_tui.core.plain import moment
from lora_tui.core.text import size
from lora_tui.jobs import merge
from lora_tui.tui.merge_draft import Draft

_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}


@dataclass(frozen=True, slots=True)
class Facts:
    """How an adapter was made; what its files do not say is None."""

    rank: int | None = None
    alpha: float | None = None
    kind: str = "LoRA"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known of a draft.

    Attributes:
        draft: What it is about.
        facts: By member id.
        own: The base's own number format.
        bytes: Of the result; None where the base is not here.
        free: Bytes that are free where it goes.
        earlier: When what stands there already was made; empty if nothing stands there.
        problems: Why it cannot be merged, in sentences.
        fitting: The draft's method, or the first there is where these adapters do not fit that.
    """

    draft: Draft
    facts: Mapping[str, Facts] = field(default_factory=dict)
    own: str = ""
    bytes: int | None = None
    free: int | None = None
    earlier: str = ""
    problems: tuple[str, ...] = ()
    fitting: str = ""


def look_at(draft: Draft) -> Outlook:
    """What follows from a draft now."""
    first = draft.plan.members[0]
    problems = list(merge_check.refusals(draft.plan))
    try:
        base: Base | None = read_base(first.base, first.revision)
    except LoraTuiError:
        base = None  # the refusals say so
    folder = draft.folder
    if draft.out and folder is not None:
        problems += wrong_with_folder(folder, draft.plan.members)
    wanted, free = _bytes(base, draft.plan.dtype), _free(folder or locations.merges_folder())
    if wanted is not None and free is not None and wanted > free:
        problems.append(f"It takes {size(wanted)}, and {size(free)} are free where it goes.")
    return Outlook(
        draft,
        {member.id: _facts(member) for member in draft.plan.members},
        _own_format(base),
        wanted,
        free,
        _earlier(folder),
        tuple(dict.fromkeys(problems)),
        _fitting(draft) if problems else draft.plan.method,
    )


def _fitting(draft: Draft) -> str:
    method, wrong = draft.plan.method, unfit(draft)
    fit = (name for name in METHODS if name not in wrong)
    return next(fit, method) if method in wrong else method


def unfit(draft: Draft) -> set[str]:
    """The methods that are refused for a reason of their own."""
    found = {name: set(merge_check.refusals(replace(draft.plan, method=name))) for name in METHODS}
    always = set.intersection(*found.values())
    return {name for name, said in found.items() if said - always}


def _facts(member: Member) -> Facts:
    if member.method != "lora":
        return Facts(kind=member.method)
    found: Mapping[str, Any] = members.settings_of(member).get("lora", {})
    kind = "DoRA" if found.get("use_dora") else "LoRA"
    kind = f"rs{kind}" if found.get("use_rslora") else kind
    return Facts(whole(found.get("r")), figure(found.get("lora_alpha")), kind)


def _own_format(base: Base | None) -> str:
    if base is None:
        return ""
    config = read_config(base.path)
    return str(config.get("dtype") or config.get("torch_dtype") or "")


def _bytes(base: Base | None, dtype: str) -> int | None:
    if base is None:
        return None
    return base.parameters * _BYTES[dtype] if dtype in _BYTES else base.bytes


def _free(folder: Path) -> int | None:
    try:
        return hardware.free_disk(folder)
    except OSError:
        return None


def wrong_with_folder(folder: Path, who: Sequence[Member]) -> list[str]:
    """Why no merge of these can be written there, in sentences."""
    if said := folders.unusable(folder):
        return [said]
    if found := merge_check.about_place(folder, who):
        return found
    try:
        merge.refuse_taken(folder, REPORT)
    except LoraTuiError as error:
        return [f"{error.summary} {error.hint}"]
    return []


def _earlier(folder: Path | None) -> str:
    try:
        return moment((folder / REPORT).stat().st_mtime, "%d %b %H:%M") if folder else ""
    except OSError:
        return ""
