"""The check on planted faults: each is red where it is, with words that name it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import checks, preset_files, runs, summary

DEMO_MODEL = Path(__file__).parents[2] / "lora_tui" / "assets" / "demo-model"
SHIPPED = [entry for entry in preset_files.list_presets() if entry.shipped and entry.preset]
FEW = ("training.max_steps=4", "training.eval_steps=0")


@pytest.fixture
def check(engines):
    """What a check of the demo preset with changes says, by item."""

    def looked(*settings: str, preset: str = "demo", **options: bool) -> dict[str, Any]:
        run = engines.create(preset, *settings)
        runs.add_to_info(run, options=options)
        engines.warm(run, "check", "unsloth")
        told = checks.Told()
        told.fold(json.loads(line) for line in run.events.read_text("utf-8").splitlines())
        told.end(summary.headline(run))
        document = told.document()
        return {**document, "by_name": {item["name"]: item for item in document["items"]}}

    return looked


@pytest.fixture
def spoilt(tmp_path):
    """A copy of the demo model with something done to it."""

    def copy(spoil: Any) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(DEMO_MODEL, folder)
        spoil(folder)
        return folder

    return copy


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}))


def cut_off_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5])


def smaller_vocabulary(folder: Path) -> None:
    change_json(folder / "config.json", vocab_size=1000)


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def endless_template(folder: Path) -> None:
    endless = (
        "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    change_json(folder / "tokenizer_config.json", chat_template=endless)


def enormous(folder: Path) -> None:
    """A header that declares 40 billion parameters, over a file with nothing in it."""
    shape = [100_000, 200_000]
    size = 2 * shape[0] * shape[1]
    header = {
        f"model.layers.{at}.self_attn.q_proj.weight": {
            "dtype": "BF16",
            "shape": shape,
            "data_offsets": [at * size, (at + 1) * size],
        }
        for at in range(2)
    }
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 2 * size)  # a hole: it takes no room


def with_weights(change: Any) -> Any:
    def spoil(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        path = folder / "model.safetensors"
        tensors = {name: change(tensor) for name, tensor in load_file(path).items()}
        save_file(tensors, path, metadata={"format": "pt"})

    return spoil


MODEL_FAULTS = {
    "weights-cut-off": (cut_off_weights, (), "model", "not a readable safetensors file"),
    "tokenizer-of-another-model": (smaller_vocabulary, (), "tokenizer", "do not belong together"),
    "no-tokenizer": (no_tokenizer, (), "tokenizer", ""),
    "answers-without-end": (endless_template, (), "mask", "would never stop"),
    "no-room-on-the-disk": (enormous, ("lora.method=full",), "disk", "TB needed"),
    "nan-weights": (
        with_weights(lambda tensor: tensor * float("nan")),
        FEW,
        "steps",
        "no number",
    ),
    "dead-weights": (
        with_weights(lambda tensor: tensor * 0),
        FEW,
        "steps",
        "would change nothing",
    ),
}


@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_a_fault_of_the_model_is_red_where_it_is(check, spoilt, fault):
    spoil, settings, name, says = MODEL_FAULTS[fault]
    quick = name != "steps"
    found = check(f"model.name_or_path={spoilt(spoil)}", *settings, quick=quick)
    assert not found["ok"]
    item = found["by_name"][name]
    assert item["status"] == "red", found
    assert says in f"{item['detail']} {item['remedy']}"
    assert item["remedy"]


FAULTS = {
    "four-bits-on-a-cpu": (("model.load_in_4bit=true", "engine.device=cpu"), "preset", "4bit"),
    "not-on-the-hub": (("model.name_or_path=nobody/nothing",), "model", "nobody/nothing"),
    "no-such-layer": (("lora.target_modules=c_attn",), "model", "c_attn"),
    "too-large-a-batch": (
        ("training.per_device_train_batch_size=4096", "lora.method=full", "data.train_on=all"),
        "memory",
        "does not fit",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_preset_is_red_where_it_is(check, write_rows, fault):
    settings, name, says = FAULTS[fault]
    rows = write_rows({"question": "Why?", "answer": "because " * 240})
    found = check(f"data.source={rows}", *settings, quick=True)
    item = found["by_name"][name]
    assert item["status"] == "red", found
    assert says in f"{item['detail']} {item['remedy']}"
    assert not found["ok"]


DATA_FAULTS = {
    "empty": ("", (), "holds no rows"),
    "other-columns": ('{"frage": "Q", "antwort": "A"}', (), "frage, antwort"),
    "cut-before-the-answer": (
        json.dumps({"question": "why " * 500, "answer": "So."}),
        (),
        "begins after model.max_seq_length",
    ),
    "no-rows": ("{cut off\nnor this", (), "none is one"),
}


@pytest.mark.parametrize("fault", DATA_FAULTS)
def test_a_fault_of_the_data_is_red_where_it_is(check, tmp_path, fault):
    content, settings, says = DATA_FAULTS[fault]
    (tmp_path / "rows.jsonl").write_text(content)
    found = check(f"data.source={tmp_path / 'rows.jsonl'}", *settings, quick=True)
    item = found["by_name"]["data"]
    assert item["status"] == "red", found
    assert says in f"{item['detail']} {item['remedy']}"
    assert item["remedy"]
    assert "mask" not in found["by_name"]  # nothing is said of what stands on it


@pytest.mark.parametrize("name", [entry.name for entry in SHIPPED])
def test_shipped_presets_are_green_where_they_can_run(check, name):
    preset = preset_files.find(name)
    found = check("model.name_or_path=demo", "data.source=demo", *FEW, preset=name)
    if preset.model.load_in_4bit:  # for a GPU: the one thing wrong here is that there is none
        assert [item["name"] for item in found["items"] if item["status"] == "red"] == ["preset"]
        return
    assert found["ok"], found
    names = "preset model tokenizer data mask disk memory export steps time"
    assert list(found["by_name"]) == names.split()
    assert found["seconds_per_step"] > 0
    assert found["trial_peak_memory_bytes"] > 100e6
    assert found["max_steps"] == 4


def test_the_largest_batch_is_found_and_the_effective_batch_stays(check):
    found = check(
        *FEW,
        "training.per_device_train_batch_size=2",
        "training.gradient_accumulation_steps=3",
        find_batch=True,
    )
    batch = found["batch"]
    assert batch["per_device_train_batch_size"] == 6
    assert batch["gradient_accumulation_steps"] == 1
    assert [tried["per_device_train_batch_size"] for tried in batch["tried"]] == [1, 2, 3, 6]
    assert found["by_name"]["batch"]["changes"] == {
        "training.per_device_train_batch_size": 6,
        "training.gradient_accumulation_steps": 1,
    }


def test_what_an_export_would_take_is_said_before_training(check):
    item = check(quick=True)["by_name"]["export"]
    assert item["status"] == "green"
    assert item["detail"] == "by installed packages: f16 7.42 MB, q8_0 3.98 MB, q4_k_m 2.4 MB"


def cuts_nothing(folder: Path) -> None:
    change_json(folder / "tokenizer.json", pre_tokenizer=None)


def of_a_strange_class(folder: Path) -> None:
    change_json(folder / "config.json", architectures=["NoSuchForCausalLM"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(cuts_nothing, "no pre_tokenizer"), (of_a_strange_class, "knows no NoSuchForCausalLM")],
)
def test_an_export_that_will_not_work_is_red_only_if_it_is_asked_for(spoil, said, check, spoilt):
    model = f"model.name_or_path={spoilt(spoil)}"
    for asked, status in ((False, "yellow"), (True, "red")):
        item = check(model, quick=True, export=asked)["by_name"]["export"]
        assert item["status"] == status
        assert said in item["detail"]
        assert "LORA_TUI_LLAMA_CPP" in item["remedy"]


def test_a_check_that_is_killed_is_red_where_it_was(engines):
    run = engines.create("demo")
    ended = engines.stop_at(run, lambda events: '"tokenizer"' in events, "check")
    told = checks.Told()
    told.fold(ended.events)
    told.end(summary.headline(run))
    assert told.document()["items"][-1]["status"] == "red"
