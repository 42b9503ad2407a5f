"""What is written beside the files of an export: how Ollama and llama.cpp use them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lora_tui.core import export_files, gguf, modelfile
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.exporting import LORA, ExportFile, ExportPlan
from lora_tui.core.files import write_atomically
from lora_tui.core.proofs import FAIL, PASS
from lora_tui.core.quantisation import QUANTS
from lora_tui.engine import models
from lora_tui.engine.job import Job


def describe(job: Job, plan: ExportPlan, made: Mapping[str, ExportFile], *, is_new: bool) -> None:
    """Write the Modelfile of the file that is used first, and tell both ways to use it.

    Args:
        job: Whose events.
        plan: What was asked for.
        made: Every file that stands now.
        is_new: Whether one of them was made now; else a Modelfile that stands is left alone.
    """
    whole = [one for one in _standing(plan, made) if one.proof and one.proof.verdict != FAIL]
    whole.sort(key=lambda one: _rank(one, plan.quants))
    if whole:
        chosen, path = Path(whole[0].path), Path(plan.folder) / modelfile.NAME
        others = [Path(one.path).name for one in whole[1:]]
        try:
            if not _is_ours(path):
                job.warn(f"{path} is not of this program and stays as it is: it may name others.")
            elif is_new or not path.is_file():
                write_atomically(path, _modelfile(job, chosen, others))
        except (LoraTuiError, OSError) as error:
            job.warn(f"No Modelfile was written: {error}")
            return
        job.emit("use", modelfile=str(path), command=modelfile.command(chosen))
    elif LORA in made:
        base = f"{Path(plan.member.base).name}.gguf"
        job.warn(f"The adapter alone wants its base beside it: export that too, as {base}.")
        job.emit("use", modelfile="", command=modelfile.command(Path(made[LORA].path), base))


def _standing(plan: ExportPlan, made: Mapping[str, ExportFile]) -> list[ExportFile]:
    """What was made now, and what earlier exports of the same made that still stands."""
    found = {quant: one for quant, one in made.items() if quant != LORA}
    source = next((export_files.fingerprint_of(Path(one.path)) for one in made.values()), {})
    for quant in QUANTS:
        if quant not in found and (one := export_files.made(plan.path(quant), source)):
            found[quant] = one
    return list(found.values())


def _is_ours(path: Path) -> bool:
    try:
        return path.read_text("utf-8").startswith(modelfile.OURS)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False


def _rank(file: ExportFile, asked: Sequence[str]) -> tuple[bool, bool, bool]:
    """What passed goes first, then what is quantised, then what was asked for now."""
    is_unsure = file.proof is None or file.proof.verdict != PASS
    return is_unsure, QUANTS[file.quant].is_plain, file.quant not in asked


def _modelfile(job: Job, file: Path, others: list[str]) -> str:
    settings = gguf.read_head(file).settings
    template = settings.get("tokenizer.chat_template")
    tokenizer = models.load_tokenizer(job.preset)
    turns = None
    if template:
        tokenizer.chat_template = template
        adds_bos = settings.get("tokenizer.ggml.add_bos_token")
        bos = _token(tokenizer, settings, "bos") if adds_bos else ""
        turns = modelfile.turns_of(_render(tokenizer), bos)
    return modelfile.modelfile(
        file.name,
        turns,
        _stops(tokenizer, settings, turns),
        settings.get(f"{settings.get('general.architecture')}.context_length"),
        others=others,
        has_template=bool(template),
    )


def _render(tokenizer: Any) -> modelfile.Render:
    def render(messages: Any, prompt: bool) -> str:
        return str(
            tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=prompt
            )
        )

    return render


def _token(tokenizer: Any, settings: Mapping[str, Any], name: str) -> str:
    number = settings.get(f"tokenizer.ggml.{name}_token_id")
    token = tokenizer.convert_ids_to_tokens(number) if isinstance(number, int) else None
    return token or ""


def _stops(tokenizer: Any, settings: Mapping[str, Any], turns: modelfile.Turns | None) -> list[str]:
    """What ends an answer: the tokens that the file names, and what the template ends one with."""
    stops = [_token(tokenizer, settings, name) for name in ("eos", "eot")]
    after = turns.around["assistant"][1].strip() if turns else ""
    stops += [token for token in tokenizer.all_special_tokens if token and token in after]
    return list(dict.fromkeys(filter(None, stops)))
