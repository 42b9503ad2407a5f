"""The head of a GGUF file, read from bytes that are written by hand."""

import struct

import pytest

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.gguf import BLOCKS, TYPES, read_head


def text(value):
    return struct.pack("<Q", len(value.encode())) + value.encode()


def number(value):
    return struct.pack("<I", value)


def setting(name, kind, value):
    return text(name) + number(kind) + value


def tensor(name, shape, kind, start):
    sizes = b"".join(struct.pack("<Q", one) for one in shape)
    return text(name) + number(len(shape)) + sizes + number(kind) + struct.pack("<Q", start)


SETTINGS = [
    setting("general.architecture", 8, text("llama")),
    setting("general.file_type", 4, number(15)),
    setting("some.byte", 0, b"\x07"),
    setting("some.flag", 7, b"\x01"),
    setting("some.float", 6, struct.pack("<f", 0.5)),
    setting("some.large", 10, struct.pack("<Q", 2**40)),
    setting("some.words", 9, number(8) + struct.pack("<Q", 2) + text("a b") + text("ü")),
    setting("some.list", 9, number(5) + struct.pack("<Q", 3) + bytes(12)),
    setting("some.nested", 9, number(9) + struct.pack("<Q", 1) + number(0) + struct.pack("<Q", 2)
            + b"ab"),
    setting("last", 8, text("end")),
]  # fmt: skip
TENSORS = [tensor("a.weight", (256, 3), 12, 0), tensor("b.bias", (5,), 0, 448)]
DATA = 448 + 20


def file_of(settings=SETTINGS, tensors=TENSORS, data=DATA, magic=b"GGUF", version=3):
    head = magic + number(version) + struct.pack("<QQ", len(tensors), len(settings))
    head += b"".join([*settings, *tensors])
    return head + bytes(-len(head) % 32) + bytes(data)


def written(tmp_path, content):
    path = tmp_path / "file.gguf"
    path.write_bytes(content)
    return path


def test_settings_and_tensors_are_read_and_lists_passed_over(tmp_path):
    head = read_head(written(tmp_path, file_of()))
    assert head.settings == {
        "general.architecture": "llama",
        "general.file_type": 15,
        "some.byte": 7,
        "some.flag": True,
        "some.float": 0.5,
        "some.large": 2**40,
        "last": "end",
    }
    first, second = head.tensors
    assert (first.name, first.type, first.shape, first.bytes) == (
        "a.weight",
        "q4_k",
        (256, 3),
        3 * 144,
    )
    assert first.start % 32 == 0 and second.start == first.start + 448
    assert head.types == {"q4_k": 1, "f32": 1}


@pytest.mark.parametrize("cut", [1, 20, 100, 468])
def test_a_file_that_lost_its_end_says_how_much(cut, tmp_path):
    with pytest.raises(LoraTuiError, match=f"{cut:,} bytes are missing"):
        read_head(written(tmp_path, file_of()[:-cut]))


@pytest.mark.parametrize("kept", range(1, len(file_of(data=0)) - 31, 13))
def test_a_head_that_is_cut_is_no_file(kept, tmp_path):
    with pytest.raises(LoraTuiError, match="not a readable GGUF file"):
        read_head(written(tmp_path, file_of()[:kept]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        file_of(magic=b"GGML"),
        file_of(version=99),
        file_of(tensors=[tensor("a", (1,), 200, 0)]),
        file_of(tensors=[tensor("a", (1,) * 9, 0, 0)]),
        file_of(settings=[setting("x", 77, b"")]),
        file_of(settings=[text("x") + number(8) + struct.pack("<Q", 2**60)]),
        b"GGUF" + number(3) + struct.pack("<QQ", 2**50, 1),
    ],
)
def test_what_is_damaged_is_refused_in_words(content, tmp_path):
    with pytest.raises(LoraTuiError, match="not a readable GGUF file"):
        read_head(written(tmp_path, content))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LoraTuiError, match=r"gone\.gguf"):
        read_head(tmp_path / "gone.gguf")


def test_types_are_named_once():
    assert len(BLOCKS) == len(TYPES)
    assert BLOCKS["q8_0"] == (32, 34) and BLOCKS["q6_k"] == (256, 210)
