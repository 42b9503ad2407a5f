"""Real exceptions of the real libraries, in the user's words."""

import errno
import importlib
from pathlib import Path

import pytest

from lora_tui.core import locations, preset_files
from lora_tui.core.errors import LoraTuiError
from lora_tui.engine.failures import explain, without_tokens

DEMO_MODEL = locations.assets_folder() / "demo-model"


def raised_by(action):
    """The exception that an action really raises."""
    with pytest.raises(BaseException) as raised:
        action()
    return raised.value


def too_much_for_torch():
    import torch

    torch.empty(10**15, dtype=torch.float64)


def too_much_for_a_gpu():
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def full_disk():
    with open("/dev/full", "w") as file:  # noqa: PTH123 - a device
        file.write("x")
        file.flush()


def full_disk_in_safetensors():
    from safetensors import SafetensorError

    # Its words on a full tmpfs. (Never give it /dev/full: it replaces the device by a file.)
    text = "Error while serializing: I/O error: No space left on device (os error 28)"
    raise SafetensorError(text)


def a_tokenizer_without_a_folder():
    from tokenizers import Tokenizer

    Tokenizer.from_file(str(DEMO_MODEL / "tokenizer.json")).save("/no/such/folder/tokenizer.json")


def full_disk_in_torch(tmp_path):
    """No room for a checkpoint's optimiser: torch says nothing of a disk."""
    import resource
    import signal

    import torch

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        torch.save({"a": torch.zeros(100_000)}, tmp_path / "optimizer.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def a_model_nobody_has_fetched():
    from transformers import AutoConfig

    AutoConfig.from_pretrained("nobody/nothing")


def data_nobody_has_fetched():
    import datasets

    datasets.load_dataset("nobody/nothing", split="train")


def damaged_weights(tmp_path):
    import shutil

    from transformers import AutoModelForCausalLM

    shutil.copytree(DEMO_MODEL, tmp_path / "damaged")
    file = tmp_path / "damaged" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    AutoModelForCausalLM.from_pretrained(tmp_path / "damaged")


def unknown_targets():
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(DEMO_MODEL)
    get_peft_model(model, LoraConfig(target_modules=["w_pack"], task_type="CAUSAL_LM"))


def four_bits_without_bitsandbytes():
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    four = BitsAndBytesConfig(load_in_4bit=True)
    AutoModelForCausalLM.from_pretrained(DEMO_MODEL, quantization_config=four)


def a_gpu_that_others_filled():
    raise RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously")


def a_gpu_without_room_for_cublas():
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def a_gpu_that_is_not_there():
    import torch

    torch.zeros(1, device="cuda")


def a_broken_template():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(DEMO_MODEL)
    tokenizer.chat_template = "{% for message in %}"
    tokenizer.apply_chat_template([{"role": "user", "content": "?"}])


def a_missing_library():
    importlib.import_module("no_such_library")


@pytest.mark.parametrize(
    ("action", "summary", "hint"),
    [
        (too_much_for_torch, "machine's memory", "per_device_train_batch_size"),
        (lambda: bytearray(1 << 62), "machine's memory", "max_seq_length"),
        (too_much_for_a_gpu, "GPU's memory", "load_in_4bit"),
        (a_gpu_that_others_filled, "GPU's memory", "load_in_4bit"),
        (a_gpu_without_room_for_cublas, "GPU's memory", "load_in_4bit"),
        (full_disk, "disk is full", "LORA_TUI_HOME"),
        (full_disk_in_safetensors, "disk is full", "resume"),
        (lambda: Path("/").write_text(""), "/: Is a directory", "resume"),
        (a_tokenizer_without_a_folder, "No such file or directory", "`df`"),
        (a_model_nobody_has_fetched, "cannot be reached", "model.name_or_path"),
        (data_nobody_has_fetched, "cannot be reached", "data.source"),
        (unknown_targets, "called {'w_pack'}", "all-linear"),
        (four_bits_without_bitsandbytes, "bitsandbytes", "model.load_in_4bit = false"),
        (a_gpu_that_is_not_there, "no GPU", 'engine.device = "cpu"'),
        (a_broken_template, "chat template", "instruct version"),
        (a_missing_library, "no_such_library", "make setup"),
    ],
)
def test_what_happened_and_what_to_do(action, summary, hint):
    found = explain(raised_by(action))
    assert summary in found[0]
    assert hint in found[1]


def test_damaged_weights_are_named(tmp_path):
    assert "damaged" in explain(raised_by(lambda: damaged_weights(tmp_path)))[0]


def test_a_checkpoint_that_torch_cannot_write_is_a_full_disk(tmp_path):
    assert explain(raised_by(lambda: full_disk_in_torch(tmp_path)))[0] == "The disk is full."


def test_a_cause_further_down_is_found():
    def wrapped():
        try:
            full_disk()
        except OSError as error:
            raise RuntimeError("could not save") from error

    assert explain(raised_by(wrapped))[0] == "The disk is full."


def test_an_unknown_failure_keeps_its_own_words():
    summary, hint = explain(ZeroDivisionError("division by zero\nmore"))
    assert summary == "ZeroDivisionError: division by zero"
    assert "engine.log" in hint


def test_quota_counts_as_a_full_disk():
    assert explain(OSError(errno.EDQUOT, "Disk quota exceeded"))[0] == "The disk is full."


def test_hub_tokens_are_taken_out():
    assert without_tokens("token hf_abcdefghijklmnopqrstuvwx is bad") == "token hf_... is bad"


def test_a_model_that_is_not_there_is_named(tmp_path):
    from lora_tui.engine.models import reference_of

    for name, says in (("/no/such/model", "There is no model"), (str(tmp_path), "config.json")):
        preset = preset_files.with_settings(
            preset_files.find("demo"), [f"model.name_or_path={name}"]
        )
        with pytest.raises(LoraTuiError, match=says):
            reference_of(preset)


def test_shipped_presets_are_whole_and_honoured_somewhere():
    for entry in preset_files.list_presets():
        assert entry.preset is not None, entry.problems
        assert entry.preset.description
        assert preset_files.dumps(entry.preset) == entry.path.read_text("utf-8")


def test_where_nothing_is_trained_no_setting_of_a_preset_is_offered():
    for error in (MemoryError(), OSError(errno.ENOSPC, "full")):
        summary, hint = explain(error, is_training=False)
        assert summary == explain(error)[0]
        assert "per_device_train_batch_size" not in hint and "checkpoint" not in hint
