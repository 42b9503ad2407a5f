"""How an exported file is used: a Modelfile for Ollama, and a command line for llama.cpp.

llama.cpp renders conversations by the Jinja template in the file. Ollama has a language of its own
and takes a Jinja template over only where it resembles one of those it knows
(github.com/ollama/ollama, template/), else it sends the bare question. So the template is written
down in Ollama's language: as what stands around each turn, which is found by rendering, and only if
conversations put together from that are what the model's own template makes of them.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Message = Mapping[str, str]
Render = Callable[[Sequence[Message], bool], str]
"""A conversation as text; with True up to where the model begins to answer."""

NAME = "Modelfile"
OURS = "# Written by lora-tui."
_MOST_CONTEXT = 8192  # a model's own may be 128k: more memory than most have
_UNTOLD = (
    "# The model's template does more than can be said in Ollama's language by rule: Ollama takes",
    "# its own form of it where it knows the model. Compare its answers with llama.cpp's, or write",
    "# a TEMPLATE.",
)
_NO_TEMPLATE = ("# The model has no chat template: it goes on from what it is given.",)
_ROLES = ("system", "user", "assistant")
_SAID = {role: f"what {role} says" for role in _ROLES}
_AGAIN = "what user says then"


@dataclass(frozen=True, slots=True)
class Turns:
    """What a template writes around turns.

    Attributes:
        around: By role, what stands before and after what is said.
        opening: What a conversation without a system text begins with.
        prompt: What the model goes on from.
    """

    around: Mapping[str, tuple[str, str]]
    opening: str
    prompt: str

    def render(self, messages: Sequence[Message], prompt: bool) -> str:
        """A conversation as Ollama will put it together."""
        text = "" if messages and messages[0]["role"] == "system" else self.opening
        for message in messages:
            before, after = self.around[message["role"]]
            text += before + message["content"] + after
        return text + (self.prompt if prompt else "")


def turns_of(render: Render, bos: str = "") -> Turns | None:
    """What a template writes around turns; None if it does more than that.

    Args:
        render: The model's own template.
        bos: The token that llama.cpp puts before everything by itself, if it does.
    """

    def rendered(messages: Sequence[Message], prompt: bool = False) -> str:
        return render(messages, prompt).removeprefix(bos)

    try:
        turns = _found(rendered)
        for messages in _conversations():
            for prompt in (False, True) if messages[-1]["role"] == "user" else (False,):
                if turns.render(messages, prompt) != rendered(messages, prompt):
                    return None
    except Exception:  # a template may refuse a conversation by any exception
        return None
    return turns


def _say(*roles: str) -> list[dict[str, str]]:
    said = [{"role": role, "content": _SAID[role]} for role in roles]
    if len(roles) > 2 and roles[-1] == "user":
        said[-1]["content"] = _AGAIN
    return said


def _conversations() -> Iterator[list[dict[str, str]]]:
    for roles in ("user", "system user", "user assistant", "user assistant user"):
        yield _say(*roles.split())
    yield [{"role": "system", "content": "Be brief."}, *_say("user", "assistant", "user")]


def _found(rendered: Callable[..., str]) -> Turns:
    """Taken apart at what was said.

    Raises:
        ValueError: it is put together in another way.
    """
    said = _SAID["user"]
    head, tail = rendered(_say("user")).split(said)
    asked = rendered(_say("user"), prompt=True)
    prompt = _without(asked, f"{head}{said}{tail}")
    _, answer, end = _split(rendered(_say("user", "assistant")), said, _SAID["assistant"])
    _, _, again, _ = _split(
        rendered(_say("user", "assistant", "user")), said, _SAID["assistant"], _AGAIN
    )
    before_user = _without(again, end)
    opening = _before(head, before_user)
    before_system, between, _ = _split(rendered(_say("system", "user")), _SAID["system"], said)
    return Turns(
        {
            "system": (before_system, _before(between, before_user)),
            "user": (before_user, tail),
            "assistant": (_without(answer, tail), end),
        },
        opening,
        prompt,
    )


def _split(text: str, *marks: str) -> list[str]:
    parts = []
    for mark in marks:
        before, found, text = text.partition(mark)
        if not found:
            raise ValueError(f"{mark} is not in it")
        parts.append(before)
    return [*parts, text]


def _without(text: str, start: str) -> str:
    if not text.startswith(start):
        raise ValueError("a turn begins in another way")
    return text[len(start) :]


def _before(text: str, end: str) -> str:
    if not text.endswith(end):
        raise ValueError("a turn ends in another way")
    return text[: len(text) - len(end)]


def modelfile(
    file: str,
    turns: Turns | None,
    stops: Sequence[str],
    context: int | None,
    *,
    others: Sequence[str] = (),
    has_template: bool = True,
) -> str:
    """A Modelfile; `ollama create NAME -f Modelfile` reads it.

    Args:
        file: The GGUF file beside it.
        turns: What the template writes; None if that is not all it does, or there is none.
        stops: What ends an answer.
        context: How many tokens the model was made for, where that is known.
        others: Further files that can stand in its place.
        has_template: Whether the file has a template at all.
    """
    lines = [OURS, f"FROM ./{file}"]
    lines += [f"# FROM ./{other}" for other in others]
    template = _template(turns) if turns else ""
    if template:
        lines += [
            "",
            "# As the model's own template for system, user and assistant turns.",
            template,
        ]
    else:
        lines += ["", *(_UNTOLD if has_template else _NO_TEMPLATE)]
    lines += ["", *(f'PARAMETER stop "{_quoted(stop)}"' for stop in stops)]
    if context:
        lines.append(f"PARAMETER num_ctx {min(context, _MOST_CONTEXT)}")
    return "\n".join(lines) + "\n"


def _template(turns: Turns) -> str:
    """In Ollama's language (Go's text/template); empty if a Modelfile cannot hold it."""
    parts = [turns.opening, turns.prompt, *(one for pair in turns.around.values() for one in pair)]
    if any('"""' in part for part in parts):
        return ""
    body = f"{{{{ if not .System }}}}{_text(turns.opening)}{{{{ end }}}}" if turns.opening else ""
    body += "{{ range .Messages }}"
    for number, role in enumerate(_ROLES):
        before, after = turns.around[role]
        condition = f'{"else if" if number else "if"} eq .Role "{role}"'
        body += f"{{{{ {condition} }}}}{_text(before)}{{{{ .Content }}}}{_text(after)}"
    return f'TEMPLATE """{body}{{{{ end }}}}{{{{ end }}}}{_text(turns.prompt)}"""'


def _text(text: str) -> str:
    """Text that is no command: braces are written by one."""
    return text.replace("{{", '{{ "{{" }}')


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def command(file: Path, base: str = "") -> str:
    """How llama.cpp talks with a file; with `base`, with an adapter beside the base's file."""
    if base:
        return f"llama-cli -m {shlex.quote(base)} --lora {shlex.quote(str(file))} --jinja"
    return f"llama-cli -m {shlex.quote(str(file))} --jinja"
