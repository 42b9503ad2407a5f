"""The parts of a GGUF file's proof: probes, texts, and children that break off."""

import os
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lora_tui.core import export_tools, members, preset_files
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.platforms import Platform
from lora_tui.core.proofs import FAIL, PASS
from lora_tui.engine import models, probing
from lora_tui.engine.gguf_text import Conversations, Tokens, ends_faults
from lora_tui.engine.llama import Broken, Llama
from lora_tui.engine.stopping import StopRequested
from lora_tui.engine.templates import ChatTemplate
from tests.adapters import DEMO_MODEL

if TYPE_CHECKING:
    from lora_tui.engine.export_reference import Reference


NEVER: Any = SimpleNamespace(requested=False, check=lambda: None)


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> "tuple[Reference, Any]":
    """The demo's base by itself, as a reference and as a file."""
    from lora_tui.engine.export_reference import Reference

    preset = preset_files.with_settings(preset_files.find("demo"), ["engine.device=cpu"])
    platform = Platform("transformers", "cpu", bfloat16=False)
    run = SimpleNamespace(path=tmp_path_factory.mktemp("run"))
    job: Any = SimpleNamespace(preset=preset, platform=platform, stop=NEVER, run=run)
    member = replace(members.of_source(str(DEMO_MODEL)), base="demo")
    return Reference(job, member, has_rows=True, rows=4), job


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    from lora_tui.engine import converter

    path = tmp_path_factory.mktemp("gguf") / "demo.gguf"
    converter.convert(export_tools.find(), DEMO_MODEL, path, "f32")
    return path


# --- probes ---------------------------------------------------------------------------------------


def probes(has_rows=True, most=9, *settings) -> probing.Probes:
    preset = preset_files.with_settings(preset_files.find("demo"), settings)
    return probing.probes(preset, has_rows, ChatTemplate(models.load_tokenizer(preset)), most)


def test_probes_are_held_out_rows_with_their_texts_and_questions(tmp_path):
    found = probes()
    assert (found.source, found.warnings) == ("demo", ())
    assert len(found.examples) == len(found.texts) == len(found.questions) == 9
    assert all(asked[-1]["role"] == "user" for asked in found.questions)
    assert found.questions[0][-1]["content"] in found.texts[0].text
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"text": "Number {at}."}}\n' for at in range(8)), "utf-8")
    plain = probes(True, 9, f"data.source={rows}", "data.eval_fraction=0")
    assert len(plain.examples) == 8 and not plain.questions  # those trained on serve as well
    assert all(text.is_plain for text in plain.texts)


def test_without_rows_of_its_own_the_demos_serve_and_it_is_said(tmp_path):
    found = probes(False)
    assert found.source == "demo" and "say little" in found.warnings[0]
    gone = probes(True, 9, f"data.source={tmp_path / 'gone.jsonl'}")
    assert len(gone.examples) == 9 and "cannot be read" in gone.warnings[0]


def test_token_ids_are_compared_text_by_text():
    tokenizer = models.load_tokenizer(preset_files.find("demo"))
    tokens = Tokens(probes(), ChatTemplate(tokenizer))
    asked = tokens.asked()
    backend = tokenizer.backend_tokenizer
    right = [backend.encode(text, add_special_tokens=added).ids for text, added in asked]
    assert tokens.faults(right) == ([], [])
    half = len(right) // 2
    assert [text for text, _ in asked[:half]].count(probing.PROBE_TEXT) == 1
    wrong = [list(ids) for ids in right]
    wrong[5][3] += 1
    wrong[half + 5][3] += 1
    faults, notes = tokens.faults(wrong)
    assert len(faults) == 1 and f"differ in 1 of {half} texts: row 4" in faults[0] and not notes
    wrong[half + 5] = right[5]  # as if only composing the text had been the difference
    assert tokens.faults(wrong)[0] == [] and "composes characters" in tokens.faults(wrong)[1][0]
    short = [list(ids) for ids in right]
    del short[4][-1], short[half + 4][-1]
    assert "row 3" in tokens.faults(short)[0][0]


def test_conversations_are_compared_as_text_and_as_tokens():
    template = ChatTemplate(models.load_tokenizer(preset_files.find("demo")))
    conversations = Conversations(probes(), template)
    assert len(conversations.messages) == 5 and conversations.messages[-1][0]["role"] == "system"
    texts = [template.render(one, prompt=True) for one in conversations.messages]
    ids = [template.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    right = [{"text": text, "ids": one} for text, one in zip(texts, ids, strict=True)]
    assert conversations.faults(right, None) == []
    assert conversations.longest == max(map(len, ids))
    begun = template.tokenizer.convert_tokens_to_ids("<|im_start|>")
    bare = [{**one, "text": one["text"].removeprefix("<|im_start|>")} for one in right]
    assert conversations.faults(bare, begun) == []  # llama.cpp puts it there itself
    for change, words in (
        ({"text": texts[1][:-1]}, "renders another text (user, assistant, user): '\\n' by"),
        ({"ids": [begun, *ids[1]]}, "token ids differ (user, assistant, user): at token 2"),
        ({"error": "No such role"}, "fails on a conversation (user, assistant, user): No such"),
    ):
        wrong = [*right]
        wrong[1] = {**right[1], **change}
        (fault,) = conversations.faults(wrong, None)
        assert words in fault


def test_each_token_that_ends_an_answer_has_to_end_one_of_the_file():
    tokenizer = models.load_tokenizer(preset_files.find("demo"))
    assert ends_faults([0, 2], {"eos": 2, "ends": [0, 1, 2]}, tokenizer) == []
    (missing,) = ends_faults([0, 2], {"eos": 2, "ends": [2]}, tokenizer)
    assert "does not stop at <|endoftext|>" in missing
    (other,) = ends_faults([2], {"eos": 0, "ends": [0, 2]}, tokenizer)
    assert "end-of-sequence token is '<|endoftext|>', the model ends at <|im_end|>" in other
    none, _ = ends_faults([2], {"eos": -1, "ends": []}, tokenizer)
    assert "is None" in none


# --- a plain model --------------------------------------------------------------------------------


def test_a_base_by_itself_passes_without_a_word_on_adapters(demo, file):
    from lora_tui.engine import gguf_proof

    reference, job = demo
    proof = gguf_proof.prove(reference, file, "f32", job=job)
    assert (proof.verdict, proof.reasons) == (PASS, ())
    figures = proof.figures
    assert "power" not in figures and "adapter_share" not in figures
    assert figures["rows"] == 4 and figures["source"] == "demo" and figures["seconds"] > 0
    assert len(figures["answers"]) == 2 and figures["answers_equal"] == 3
    assert all(one["torch"] == one["file"] != "" for one in figures["answers"])
    assert figures["decided"] > 50 and figures["top1_decided"] == 1
    assert figures["kl"] < 1e-7  # as llama.cpp computes by default it would be twice as much


def test_what_runs_on_where_torch_had_ended_fails(demo, file, monkeypatch):
    """As a file does whose template does not let it end, though all its figures are right."""
    from lora_tui.engine import gguf_proof

    reference, job = demo
    cut = [replace(answer, text=answer.text[:4]) for answer in reference.answers(NEVER)]
    monkeypatch.setattr(reference, "_answers", cut)
    monkeypatch.setattr(gguf_proof, "ANSWER", 2)
    assert all(answer.ended and answer.text for answer in cut)
    proof = gguf_proof.prove(reference, file, "f32", job=job)
    assert proof.verdict == FAIL and proof.figures["stops"] is False
    assert len(proof.reasons) == 1 and "runs on where torch ends" in proof.reasons[0]


def test_a_model_without_a_template_is_not_asked_for_one(demo, file, tmp_path):
    """A file without one passes then, and fails where the model has one."""
    from lora_tui.engine import gguf_proof

    reference, job = demo
    bare = tmp_path / "bare.gguf"
    bare.write_bytes(
        file.read_bytes().replace(b"tokenizer.chat_template", b"tokenizer.chat_templatX")
    )
    proof = gguf_proof.prove(reference, bare, "f32", job=job)
    assert proof.verdict == FAIL and proof.figures["template_equal"] is False
    reference.has_template = False
    try:
        proof = gguf_proof.prove(reference, bare, "f32", job=job)
    finally:
        reference.has_template = True
    assert proof.verdict == PASS and "template_equal" not in proof.figures
    assert proof.figures["stops"]


# --- the children ---------------------------------------------------------------------------------


def children() -> list[int]:
    """The processes with llama.cpp that this one has."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    found = path.read_text("ascii").split()
    return [int(one) for one in found if b"llama-" in Path(f"/proc/{one}/cmdline").read_bytes()]


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGABRT, r"broke off .*\(Aborted\)"), (signal.SIGKILL, "memory ran out")],
)
def test_a_child_that_dies_is_a_named_failure(number, words, file):
    """An abort is the file's fault, as llama.cpp asserts what it expects of it; a kill is not."""
    with Llama("llama-logits", file) as llama:
        llama.ask(open=64)
        os.kill(children()[-1], number)
        with pytest.raises(LoraTuiError, match=words) as raised:
            llama.ask(ids=[1, 2, 3])
    assert isinstance(raised.value, Broken) == (number == signal.SIGABRT)
    assert not children()


def test_a_child_that_dies_amid_logits_is_one_too(file):
    with Llama("llama-logits", file) as llama:
        llama.ask(open=64)
        llama.ask(ids=[1, 2, 3])
        with pytest.raises(Broken):
            os.kill(children()[-1], signal.SIGABRT)
            llama.bytes(10**9)


@pytest.mark.parametrize("verb", ["llama-logits", "llama-answers"])
def test_a_file_that_is_none_is_refused_in_words(verb, tmp_path):
    path = tmp_path / "none.gguf"
    path.write_text("nothing of the kind")
    with Llama(verb, path) as llama, pytest.raises(Broken, match=r"llama\.cpp says: ."):
        llama.ask(open=64)


def test_a_model_that_this_llama_cpp_does_not_know_is_no_fault_of_the_file(file, tmp_path):
    path = tmp_path / "unknown.gguf"
    value = b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0"
    data = file.read_bytes()
    assert value + b"llama" in data
    path.write_bytes(data.replace(value + b"llama", value + b"llamX", 1))
    unknown = pytest.raises(LoraTuiError, match="unknown model architecture")
    with Llama("llama-logits", path) as llama, unknown as raised:
        llama.ask(open=64)
    assert not isinstance(raised.value, Broken)


def test_a_missing_library_is_no_fault_of_the_file(demo, file, tmp_path, monkeypatch):
    from lora_tui.engine import gguf_proof

    reference, job = demo
    (tmp_path / "cyllama.py").write_text("raise ImportError('no such library')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(LoraTuiError, match=r"package of llama\.cpp cannot be used") as raised:
        gguf_proof.prove(reference, file, "f32", job=job)
    assert not isinstance(raised.value, Broken)


@pytest.mark.parametrize("verb", ["llama-logits", "llama-answers"])
def test_a_child_leaves_in_good_order(verb, file):
    """Left to itself, llama.cpp crashes where it is taken down, or never ends."""
    command = [sys.executable, "-m", "lora_tui.engine", verb, str(file)]
    done = subprocess.run(command, input=b'{"open": 64}\n', capture_output=True, timeout=120)
    assert done.returncode == 0 and done.stdout.startswith(b"{")


def test_stopping_leaves_no_child(demo, file):
    from lora_tui.engine import gguf_proof

    reference, job = demo
    left = [3]

    def check() -> None:
        left[0] -= 1
        if not left[0]:
            raise StopRequested

    stopping: Any = SimpleNamespace(**{**vars(job), "stop": SimpleNamespace(check=check)})
    with pytest.raises(StopRequested):
        gguf_proof.prove(reference, file, "f32", job=stopping)
    assert left == [0] and not children()


@pytest.mark.parametrize("verb", ["llama-logits", "llama-answers"])
def test_a_child_ends_with_its_parent(verb, file):
    """Whatever ends the parent: its end of the pipe closes."""
    code = (
        "import sys; from pathlib import Path; from lora_tui.engine.llama import Llama\n"
        f"llama = Llama({verb!r}, Path({str(file)!r})); llama.ask(open=64)\n"
        "print(llama._child.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = os.pidfd_open(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    ended, _, _ = select.select([child], [], [], 60)
    os.close(child)
    assert ended
