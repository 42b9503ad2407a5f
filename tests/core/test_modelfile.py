"""A Modelfile that says what the model's own template says."""

import re

import pytest
from jinja2 import Environment

from lora_tui.core.modelfile import command, modelfile, turns_of
from tests.adapters import DEMO_MODEL

LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
PLAIN = (
    "{% for m in messages %}{% if m['role'] == 'user' %}User: {{ m['content'] }}\n"
    "{% elif m['role'] == 'assistant' %}Assistant: {{ m['content'] }}</s>\n"
    "{% else %}{{ m['content'] }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
BRACES = PLAIN.replace("User:", "{{ '{{ User }}:' }}")
NO_SYSTEM = "{{ raise_exception('no system') }}"
LAST_ONLY = "{{ messages[-1]['content'] }}{% if add_generation_prompt %}:{% endif %}"
REWRITES = (
    "{% for m in messages %}<{{ m['role'] }}>"
    "{{ m['content'] if loop.last or m['role'] != 'assistant' else m['content'][:4] }}</>"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
DEMO = (DEMO_MODEL / "chat_template.jinja").read_text("utf-8")
TALKS = (
    [{"role": "user", "content": "Hello?"}],
    [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi {{ you }}"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": "Three?\nFour?"},
    ],
)


def renderer(template, bos="<s>"):
    compiled = Environment(keep_trailing_newline=True).from_string(template)

    def render(messages, prompt):
        return compiled.render(messages=messages, add_generation_prompt=prompt, bos_token=bos)

    return render


def by_ollama(text, messages):
    """What Ollama makes of the TEMPLATE in a Modelfile: Go's language, written in Jinja's."""
    (body,) = re.findall(r'TEMPLATE """(.*?)"""', text, re.DOTALL)
    for go, jinja in (
        ("{{ if not .System }}", "{% if not system %}"),
        ("{{ range .Messages }}", "{% for m in messages %}"),
        ('{{ if eq .Role "system" }}', "{% if m.role == 'system' %}"),
        ('{{ else if eq .Role "user" }}', "{% elif m.role == 'user' %}"),
        ('{{ else if eq .Role "assistant" }}', "{% elif m.role == 'assistant' %}"),
        ("{{ .Content }}", "{{ m.content }}"),
    ):
        body = body.replace(go, jinja)
    ends = iter([*(["{% endif %}"] if "not system" in body else []), "{% endif %}", "{% endfor %}"])
    body = re.sub(r"\{\{ end \}\}", lambda _: next(ends), body)
    system = "".join(one["content"] for one in messages if one["role"] == "system")
    compiled = Environment(keep_trailing_newline=True).from_string(body)
    return compiled.render(messages=messages, system=system)


@pytest.mark.parametrize("template", [DEMO, PLAIN, LLAMA3, BRACES])
@pytest.mark.parametrize("bos", ["", "<s>"])
def test_ollama_writes_what_the_model_was_trained_on(template, bos):
    render = renderer(template)
    turns = turns_of(render, bos)
    assert turns is not None
    text = modelfile("a.gguf", turns, ["</s>"], 512)
    for messages in TALKS:
        assert by_ollama(text, messages) == render(messages, True).removeprefix(bos)


@pytest.mark.parametrize("template", [NO_SYSTEM, LAST_ONLY, REWRITES, "", "{{ nothing.at.all }}"])
def test_what_ollamas_language_cannot_say_by_rule_is_left_out_and_said(template):
    assert turns_of(renderer(template)) is None
    text = modelfile("a.gguf", None, ["</s>"], None)
    assert "TEMPLATE" in text and 'TEMPLATE """' not in text
    assert "does more than can be said" in text


def test_the_rest_of_a_modelfile():
    text = modelfile("a.gguf", None, ['<"end">', "\n"], 131_072, others=["b.gguf"])
    assert text.startswith("# Written by lora-tui.\nFROM ./a.gguf\n# FROM ./b.gguf\n")
    assert 'PARAMETER stop "<\\"end\\">"\nPARAMETER stop "\\n"\nPARAMETER num_ctx 8192\n' in text
    assert "num_ctx 512" in modelfile("a.gguf", None, [], 512)
    without = modelfile("a.gguf", None, [], None, has_template=False)
    assert "no chat template" in without and "num_ctx" not in without


def test_text_that_a_modelfile_cannot_hold_is_not_written():
    turns = turns_of(renderer(PLAIN.replace("User:", 'User: """')))
    assert turns is not None
    assert 'TEMPLATE """' not in modelfile("a.gguf", turns, [], None)


def test_the_command_line(tmp_path):
    assert command(tmp_path / "a b.gguf") == f"llama-cli -m '{tmp_path / 'a b.gguf'}' --jinja"
    alone = command(tmp_path / "a.gguf", "base.gguf")
    assert alone == f"llama-cli -m base.gguf --lora {tmp_path / 'a.gguf'} --jinja"
