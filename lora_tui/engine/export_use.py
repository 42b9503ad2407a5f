"""What is written beside the files of an export: how Ollama and llama.cpp use them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_tui.core import gguf, modelfile
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
    asked = [made[quant] for quant in plan.quants if quant in made and quant != LORA]
    whole = sorted((one for one in asked if one.proof and one.proof.verdict != FAIL), key=_rank)
    if whole:
        chosen, path = Path(whole[0].path), Path(plan.folder) / modelfile.NAME
        others = [Path(one.path).name for one in whole[1:]]
        try:
            if is_new or not path.is_file():
                write_atomically(path, _modelfile(job, chosen, others))
        except (LoraTuiError, OSError) as error:
            job.warn(f"No Modelfile was written: {error}")
            return
        job.emit("use", modelfile=str(path), command=modelfile.command(chosen))
    elif LORA in made:
        base = f"{Path(plan.member.base).name}.gguf"
        job.emit("use", modelfile="", command=modelfile.command(Path(made[LORA].path), base))


def _rank(file: ExportFile) -> tuple[bool, bool]:
    """What passed before what cannot be told, what is quantised before what is large."""
    is_unsure = file.proof is None or file.proof.verdict != PASS
    return is_unsure, QUANTS[file.quant].is_plain


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
