"""The demo as it is shipped: what the README promises, measured by the program itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lora_tui.core import locations
from lora_tui.core.scoring import load_task, score

pytestmark = pytest.mark.xdist_group("demo")  # processes of their own, beside the other tests


DATA = locations.assets_folder() / "demo-json"
# A process of its own: it writes to the terminal, and could abort.
ANSWERS = """
import json, sys, xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path, settings.n_ctx, settings.n_parallel = sys.argv[1], 512, 1
server = xllamacpp.Server(settings)
for question in json.load(sys.stdin):
    message = {"role": "user", "content": question}
    asked = {"messages": [message], "temperature": 0, "max_tokens": 64}
    said = server.handle_chat_completions(asked)["choices"][0]
    print(json.dumps([said["finish_reason"], said["message"]["content"]]))
"""


def lora_tui(*arguments):
    """What a verb prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "lora_tui", *arguments, "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def taught(preset):
    """Train a preset of the demo, and see that it learnt what it should."""
    shown = lora_tui("train", preset)
    manner, both = shown["scores"]["manner"], shown["scores"]["manner_and_fact"]
    assert shown["state"] == "finished" and shown["step"] == shown["max_steps"]
    assert shown["eval_loss"]["last"] <= 0.6 * shown["eval_loss"]["first"]
    assert manner["first"] < 0.05 and manner["last"] > 0.95
    assert both["last"] > 0.8
    return shown


@pytest.mark.slow
def test_the_demo_teaches_its_manner_and_keeps_the_facts(own_home):
    taught("demo-pirate")


@pytest.mark.slow
def test_what_was_taught_is_merged_and_exported_and_llama_cpp_says_it(own_home):
    trained = taught("demo")
    merged = lora_tui("merge", "last")
    assert merged["proof"]["passed"] is True
    assert merged["scores"]["merged"] == pytest.approx(merged["scores"][trained["id"]], abs=1e-3)
    exported = lora_tui("export", "last", "--quant", "f16,q8_0,q4_k_m")
    assert [one["proof"]["passed"] for one in exported["files"]] == [True] * 3
    for file, most in zip(exported["files"], (1e-5, 1e-3, 0.1), strict=True):
        assert file["proof"]["kl"] <= most
    path = next(one["path"] for one in exported["files"] if one["quant"] == "q8_0")
    rows = [json.loads(line) for line in (DATA / "test.jsonl").read_text("utf-8").splitlines()]
    asked = json.dumps([row["question"] for row in rows])
    done = subprocess.run(
        [sys.executable, "-c", ANSWERS, path], input=asked, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    ends, texts = zip(*map(json.loads, done.stdout.splitlines()), strict=True)
    assert set(ends) == {"stop"}
    scores = score(load_task(DATA), texts, rows)
    assert scores["manner"] > 0.95 and scores["manner_and_fact"] > 0.8
    assert (Path(exported["modelfile"]).parent / Path(path).name).is_file()
