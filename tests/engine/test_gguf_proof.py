"""The parts of a GGUF file's proof: distances, probes, the children, and what goes wrong in them."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lora_tui.core import export_tools, members, preset_files
from lora_tui.core.platforms import Platform
from lora_tui.core.proofs import FAIL, PASS
from lora_tui.engine import converter, gguf_proof, models, probing
from lora_tui.engine.gguf_distance import Distance
from lora_tui.engine.gguf_text import Tokens
from lora_tui.engine.llama import Broken, Llama
from lora_tui.engine.stopping import StopRequested
from lora_tui.engine.templates import ChatTemplate
from tests.adapters import DEMO_MODEL

NEVER = SimpleNamespace(requested=False, check=lambda: None)


@pytest.fixture(scope="module")
def demo() -> tuple[gguf_proof.Reference, Path, SimpleNamespace]:
    """The demo's base by itself, as a reference and as a file."""
    preset = preset_files.with_settings(preset_files.find("demo"), ["engine.device=cpu"])
    platform = Platform("transformers", "cpu", bfloat16=False)
    job = SimpleNamespace(preset=preset, platform=platform, stop=NEVER)
    member = replace(members.of_source(str(DEMO_MODEL)), base="demo")
    return gguf_proof.Reference(job, member, has_rows=True, rows=4), job


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "demo.gguf"
    converter.convert(export_tools.find(), DEMO_MODEL, path, "f16")
    return path


# --- distances ------------------------------------------------------------------------------------


def logits(places=50, vocabulary=30):
    draw = np.random.default_rng(0)
    own, noise, change = draw.normal(size=(3, places, vocabulary))
    return 3 * own, noise, change, draw.integers(vocabulary, size=places)


def measured(own, file, base, ids) -> dict:
    distance = Distance()
    for part in (slice(0, 20), slice(20, None)):
        distance.add(
            *(torch.tensor(one[part], dtype=torch.float32) for one in (own, file, base)),
            torch.tensor(ids[part]),
        )
    return distance.figures


def log_softmax(values):
    return values - np.log(np.exp(values).sum(-1, keepdims=True))


def test_distances_are_those_of_an_independent_computation():
    own, noise, change, ids = logits()
    file = own + 0.1 * noise
    found = measured(own, file, own + change, ids)
    p, q, base = (log_softmax(one) for one in (own, file, own + change))
    kl = (np.exp(p) * (p - q)).sum(-1)
    assert found["kl"] == pytest.approx(kl.mean(), rel=1e-4)
    assert found["kl_error"] == pytest.approx(kl.std() / np.sqrt(50), rel=1e-4)
    assert found["kl_max"] == pytest.approx(kl.max(), rel=1e-4)
    assert found["kl_99_9"] == pytest.approx(np.quantile(kl, 0.999), rel=1e-4)
    assert found["kl_from_base"] == pytest.approx((np.exp(p) * (p - base)).sum(-1).mean(), rel=1e-4)
    same = p.argmax(-1) == q.argmax(-1)
    decided = np.exp(p).max(-1) > 0.5
    assert 0 < decided.sum() < 50 and 0 < same.sum() < 50
    assert found["top1"] == same.mean()
    assert found["top1_decided"] == same[decided].mean() and found["decided"] == decided.sum()
    losses = [-one[range(50), ids].mean() for one in (p, q)]
    assert found["perplexity_of_torch"] == pytest.approx(np.exp(losses[0]), rel=1e-4)
    assert found["perplexity"] == pytest.approx(np.exp(losses[1]), rel=1e-4)
    assert found["perplexity_ratio"] == pytest.approx(np.exp(losses[1] - losses[0]), rel=1e-4)
    assert found["positions"] == 50 and found["nan"] == 0


@pytest.mark.parametrize("share", [0.0, 0.5, 0.97, 1.0, 2.0])
def test_the_share_of_an_adapter_is_found_through_noise(share):
    own, noise, change, ids = logits(places=400, vocabulary=60)
    change = 0.1 * change
    file = own + (1 - share) * change + 0.1 * noise
    assert measured(own, file, own + change, ids)["adapter_share"] == pytest.approx(share, abs=0.02)


def test_what_is_no_number_is_counted_and_measured_no_further():
    own, noise, change, ids = logits()
    file = own + noise
    file[3, 4], file[30, 1] = np.nan, np.inf
    assert measured(own, file, own + change, ids) == {"nan": 2, "positions": 50}


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


# --- a plain model --------------------------------------------------------------------------------


def test_a_base_by_itself_passes_without_a_word_on_adapters(demo, file):
    reference, job = demo
    proof = gguf_proof.prove(reference, file, "f16", job=job)
    assert (proof.verdict, proof.reasons) == (PASS, ())
    figures = proof.figures
    assert "power" not in figures and "adapter_share" not in figures
    assert figures["rows"] == 4 and figures["source"] == "demo" and figures["seconds"] > 0
    assert len(figures["answers"]) == 2 and figures["answers_equal"] == 3
    assert all(one["torch"] == one["file"] != "" for one in figures["answers"])
    assert figures["decided"] > 50 and figures["top1_decided"] == 1


def test_a_model_without_a_template_is_not_asked_for_one(demo, file, tmp_path):
    """A file without one passes then, and fails where the model has one."""
    reference, job = demo
    bare = tmp_path / "bare.gguf"
    bare.write_bytes(
        file.read_bytes().replace(b"tokenizer.chat_template", b"tokenizer.chat_templatX")
    )
    proof = gguf_proof.prove(reference, bare, "f16", job=job)
    assert proof.verdict == FAIL and proof.figures["template_equal"] is False
    reference.has_template = False
    try:
        proof = gguf_proof.prove(reference, bare, "f16", job=job)
    finally:
        reference.has_template = True
    assert proof.verdict == PASS and "template_equal" not in proof.figures
    assert proof.figures["stops"]


# --- the children ---------------------------------------------------------------------------------


def children() -> list[int]:
    """The processes that this one has."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(one) for one in path.read_text("ascii").split()]


def test_a_child_that_is_killed_is_a_named_failure(file):
    with Llama("llama-logits", file) as llama:
        llama.ask(open=64)
        os.kill(children()[-1], signal.SIGKILL)
        with pytest.raises(Broken, match="broke off while it worked on the file \\(Killed\\)"):
            llama.ask(ids=[1, 2, 3])
    assert not children()


def test_a_child_that_dies_amid_logits_is_one_too(file):
    with Llama("llama-logits", file) as llama:
        llama.ask(open=64)
        llama.ask(ids=[1, 2, 3])
        with pytest.raises(Broken):
            os.kill(children()[-1], signal.SIGKILL)
            llama.bytes(10**9)


@pytest.mark.parametrize("verb", ["llama-logits", "llama-answers"])
def test_a_file_that_is_none_is_refused_in_words(verb, tmp_path):
    path = tmp_path / "none.gguf"
    path.write_text("nothing of the kind")
    with Llama(verb, path) as llama, pytest.raises(Broken, match="llama.cpp says: .+"):
        llama.ask(open=64)


def test_stopping_leaves_no_child(demo, file):
    reference, job = demo
    left = [3]

    def check() -> None:
        left[0] -= 1
        if not left[0]:
            raise StopRequested

    stopping = SimpleNamespace(**{**vars(job), "stop": SimpleNamespace(check=check)})
    with pytest.raises(StopRequested):
        gguf_proof.prove(reference, file, "f16", job=stopping)
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
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    until = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and time.monotonic() < until:
        os.sched_yield()
    assert not Path(f"/proc/{child}").exists()
