"""The chat template: how a conversation becomes text, and what to do when a model has none."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jinja2 import TemplateError

from lora_tui.engine.formats import BadRow, Message

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# For vocabularies without ChatML's tokens: plain words, and the end-of-text token after an answer.
PLAIN = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\\n' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ 'Assistant: ' + message['content'] + eos_token + '\\n' }}"
    "{% else %}{{ message['content'] + '\\n\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


class ChatTemplate:
    """A tokenizer's template, its habits known; `warnings` says what was done about them."""

    def __init__(self, tokenizer: Any) -> None:
        """Look at the template; a model without one gets one, which stays in the tokenizer."""
        self.tokenizer = tokenizer
        self.warnings: list[str] = []
        if not tokenizer.chat_template:
            has_chatml = {"<|im_start|>", "<|im_end|>"} <= tokenizer.get_vocab().keys()
            tokenizer.chat_template = CHATML if has_chatml else PLAIN
            name = "ChatML" if has_chatml else 'a plain "User: ... Assistant: ..." form'
            self.warnings.append(
                f"The model has no chat template, so {name} is used and saved with the result: "
                "talk to it in that form."
            )
        self.has_markers = bool(re.search(r"\{%-?\s*generation\b", str(tokenizer.chat_template)))
        self.takes_system = self._takes_system()

    def _takes_system(self) -> bool:
        probe = [{"role": "system", "content": "sys"}, {"role": "user", "content": "usr"}]
        try:
            return "sys" in self._apply(probe, add_generation_prompt=True)
        except (TemplateError, ValueError):
            return False

    def _apply(self, messages: Sequence[Message], **options: Any) -> Any:
        return self.tokenizer.apply_chat_template(list(messages), **{"tokenize": False, **options})

    def render(self, messages: Sequence[Message], *, prompt: bool = False) -> str:
        """The conversation as text; with `prompt`, up to where the model begins to answer.

        Raises:
            BadRow: the template refuses the conversation.
        """
        with _refusals():
            return str(self._apply(messages, add_generation_prompt=prompt))

    def render_marked(self, messages: Sequence[Message]) -> tuple[str, tuple[tuple[int, int], ...]]:
        """The conversation as text, and the characters that the template's markers say are answers.

        Raises:
            BadRow: the template refuses the conversation.
        """
        from transformers.utils.chat_template_utils import render_jinja_template

        with _refusals():
            texts, spans = render_jinja_template(
                [list(messages)],
                chat_template=self.tokenizer.get_chat_template(),
                return_assistant_tokens_mask=True,
                **self.tokenizer.special_tokens_map,
            )
        special = tuple(self.tokenizer.all_special_tokens)
        if any(texts[0].startswith(special, end) for _, end in spans[0]):
            self._say(
                "The chat template's own markers leave the end-of-turn token out of what is "
                "trained: the model may not learn to stop."
            )
        return texts[0], tuple((start, end) for start, end in spans[0])

    def fitted(self, messages: list[Message]) -> list[Message]:
        """The conversation as the template takes it.

        Without a system role, the system text opens the first question.
        """
        if self.takes_system or messages[0]["role"] != "system":
            return messages
        self._say("The chat template has no system role: the system text opens the first question.")
        system, *rest = messages
        if not system["content"].strip() or not rest or rest[0]["role"] != "user":
            return rest
        return [
            {"role": "user", "content": f"{system['content']}\n\n{rest[0]['content']}"},
            *rest[1:],
        ]

    def _say(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)

    def note_rewriting(self) -> None:
        """Say that conversations are split because the template rewrites earlier turns."""
        self._say(
            "The chat template rewrites earlier turns when a conversation goes on, so each answer "
            "is trained as a row of its own, exactly as the model will see it."
        )


@contextmanager
def _refusals() -> Iterator[None]:
    """What a template says against a conversation, as the reason why it is left out."""
    try:
        yield
    except (TemplateError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadRow(
            f"the chat template refuses it: {str(error) or type(error).__name__}"
        ) from error
