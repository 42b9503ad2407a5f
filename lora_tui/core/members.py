"""What is compared and talked to: results of runs, and adapters made elsewhere."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from lora_tui.core import locations, references, runs
from lora_tui.core.errors import Ambiguous, BadInput, LoraTuiError
from lora_tui.core.parameters import model_folder
from lora_tui.core.preset_files import load
from lora_tui.core.presets import Preset, is_demo
from lora_tui.core.runs import Run

BASE = "base"


@dataclass(frozen=True, slots=True)
class Member:
    """An adapter (`lora`), a whole model (`full`), or a base itself (`base`).

    `path` is the folder of its weights, or a Hub id; `base` what its base is called: a Hub id, an
    absolute folder, or `demo`. `run` is the folder of the run or the merge that made it, empty for
    what was made elsewhere.
    """

    id: str
    name: str
    method: str
    path: str
    base: str
    revision: str = ""
    run: str = ""

    def document(self) -> dict[str, str]:
        """As it is handed to an engine."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The member that `document()` wrote."""
        return cls(**{name: str(document[name]) for name in cls.__slots__})


def of_run(run: Run) -> Member:
    """What a run left.

    Raises:
        LoraTuiError: it left nothing yet, or its preset cannot be read.
    """
    preset = load(run.preset)
    full = preset.lora.method == "full"
    path = run.model if full else run.adapter
    if not path.is_dir():
        steps = runs.checkpoint_steps(run)
        hint = "It is saved when the run stops or finishes."
        if steps and not full:
            hint += f" Its checkpoint at step {steps[-1]} is a folder that can be named instead."
        raise LoraTuiError(f"{run.id} has saved no {path.name} yet.", hint)
    return Member(
        id=run.id,
        name=str(runs.read_info(run).get("name") or run.id),
        method="full" if full else "lora",
        path=str(path),
        base=preset.model.name_or_path,
        revision=preset.model.revision,
        run=str(run.path),
    )


def of_reference(text: str) -> Member:
    """What a command line names: a run, a folder with an adapter, or the Hub id of one.

    A name is a run's before it is a folder's: `./name` is the folder.

    Raises:
        LoraTuiError: there is nothing of that name, or it is none.
    """
    if run := find_job(text):
        return _of_folder(str(run.path), run.path)
    folder = locations.local_path(text)
    if folder is not None and folder.is_dir():
        return _of_folder(str(folder), folder)
    if text.startswith(_PATHS):
        raise BadInput(f"There is no folder {text}.", "Name the folder of an adapter.")
    if "/" not in text or not locations.is_hub_id(text):
        return of_run(references.find(text))  # which says what is meant instead
    cached = model_folder(text)
    if cached is None:
        raise LoraTuiError(
            f"{text} is no run, and no adapter of that name is on this machine.",
            f"Fetch it first: hf download {text}",
        )
    return _of_folder(text, cached)


def of_source(text: str) -> Member:
    """What a command line exports: as `of_reference`, or a merge, or the folder of a whole model.

    Raises:
        LoraTuiError: there is nothing of that name, or it is none.
    """
    job = find_job(text)
    folder = job.path if job else locations.local_path(text)
    if job is None and folder is None and locations.is_hub_id(text):
        folder = model_folder(text)
    if folder is not None and runs.read_info(Run(folder)).get("kind") == "merge":
        folder = folder / "merged"
    if folder is None or not (folder / "config.json").is_file():
        return of_reference(text)  # which says what is missing
    maker = folder.parent if folder.name == "merged" and Run(folder.parent).preset.is_file() else ""
    return Member(
        id=str(folder),
        name=_model_name(folder),
        method=BASE,
        path=str(folder),
        base=str(folder),
        run=str(maker),
    )


def knows_rows(member: Member) -> bool:
    """Whether the data is known that a member was trained on, or the adapters merged into it."""
    options = runs.read_info(Run(Path(member.run))).get("options") if member.run else None
    known = options.get("has_rows", True) if isinstance(options, Mapping) else True
    return bool(member.run and known)


def _model_name(folder: Path) -> str:
    """What a whole model is called: by the run or the merge that it lies in, else by its folder."""
    if folder.name != "merged":
        return folder.name
    info = runs.read_info(Run(folder.parent))
    options = info.get("options")
    method = options.get("method") if isinstance(options, Mapping) else None
    how = str(method or "merged") if info.get("kind") == "merge" else "merged"
    return f"{info.get('name') or folder.parent.name}-{how}"


_PATHS = ("/", "./", "../", "~")


def find_job(text: str) -> Run | None:
    """The run, or else the merge of several adapters, that a text names; None for a path's.

    Raises:
        BadInput: several are meant.
    """
    if text.startswith(_PATHS):
        return None
    for folder in (None, locations.merges_folder()):
        try:
            return references.find(text, folder)
        except Ambiguous:
            raise
        except BadInput:
            continue
    return None


def _of_folder(name: str, folder: Path) -> Member:
    """An adapter made elsewhere, by its adapter_config.json."""
    if (folder / "preset.toml").is_file() and (folder / "run.json").is_file():
        run = Run(folder)
        if runs.read_info(run).get("kind") != "merge":
            return of_run(run)
        if not (run.merged / "adapter").is_dir():
            raise LoraTuiError(f"{run.id} merged nothing, or one adapter only.", "Name that.")
        return replace(_of_folder(name, run.merged / "adapter"), name=run.id)
    config = folder / "adapter_config.json"
    try:
        settings = json.loads(config.read_text("utf-8"))
        base = settings.get("base_model_name_or_path")
    except FileNotFoundError:
        raise LoraTuiError(
            f"{name} holds no adapter: adapter_config.json is missing.",
            "Name the folder that PEFT's save_pretrained wrote.",
        ) from None
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise LoraTuiError(
            f"{config} cannot be read: {error}.", "Copy the adapter here again."
        ) from error
    if not isinstance(base, str) or not base:
        raise LoraTuiError(
            f"{config} does not say which base it is for.", 'Add "base_model_name_or_path".'
        )
    if not is_demo(base) and (local := locations.local_path(base)):
        base = str(local)
    if Path(base) == locations.assets_folder() / "demo-model":
        base = "demo"
    return Member(
        id=name,
        name=Path(name).name,
        method="lora",
        path=str(folder),
        base=base,
        revision=str(settings.get("revision") or ""),
    )


def settings_of(member: Member) -> dict[str, Any]:
    """What an adapter_config.json says of how an adapter was made, as a preset's [lora]."""
    if member.method != "lora":
        return {}
    folder = model_folder(member.path) or Path(member.path)
    try:
        settings = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    names = ("r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "use_dora", "bias")
    known = settings if isinstance(settings, dict) else {}
    return {"lora": {"method": "lora", **{name: known[name] for name in names if name in known}}}


def of_base(member: Member, id_: str = BASE) -> Member:
    """The base of `member` as a member of its own."""
    return Member(id_, id_, BASE, member.base, member.base, member.revision)


def base_changes(base: Member, presets: Iterable[Preset], *, on_gpu: bool) -> dict[str, Any]:
    """What of a preset says how `base` is loaded: as the first run of it did.

    Code that comes with a model runs only where a run of that very base allowed it.
    """
    own = [
        preset.model
        for preset in presets
        if (preset.model.name_or_path, preset.model.revision) == (base.base, base.revision)
    ]
    return {
        "model.name_or_path": base.base,
        "model.revision": base.revision,
        "model.trust_remote_code": any(model.trust_remote_code for model in own),
        "model.load_in_4bit": on_gpu and bool(own) and own[0].load_in_4bit,
    }


def told_apart(members: Iterable[Member]) -> list[Member]:
    """The members with names that no two share: folders by as much of their path as that takes."""
    found = list(members)
    for depth in range(2, 6):
        names = Counter(member.name for member in found)
        found = [
            replace(member, name=_longer(member, depth)) if names[member.name] > 1 else member
            for member in found
        ]
    return found


def _longer(member: Member, depth: int) -> str:
    return member.id if member.run else "/".join(Path(member.id).parts[-depth:])


def grouped(members: Iterable[Member]) -> list[list[Member]]:
    """The members by their base, each group led by the base itself: `base`, `base-2` and so on."""
    groups: dict[tuple[str, str], list[Member]] = {}
    for member in members:
        key = (member.base, member.revision)
        if key not in groups:
            number = len(groups) + 1
            groups[key] = [of_base(member, BASE if number == 1 else f"{BASE}-{number}")]
        groups[key].append(member)
    return list(groups.values())
