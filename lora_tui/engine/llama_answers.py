"""What llama.cpp's own server makes of a GGUF file's chat template, and what the file answers.

Requests: `open` (the most tokens of a conversation, and the file of an `adapter` to load), `render`
(conversations), `ask` (several conversations, each with the most tokens of its answer).
"""

import json
import secrets
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import xllamacpp

from lora_tui.engine import llama

_SECONDS = 600
_AT_ONCE = 3  # answers
_BATCH = 512  # tokens
_ERRORS = 1  # what of its words it writes


def main(file: Path) -> NoReturn:
    """Answer requests about `file`."""
    llama.serve(_Server(file).answer)


class _Server:
    """llama.cpp's server, started when that is asked for; it listens to this process alone."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._key = secrets.token_hex()  # else anybody on the machine could ask it

    def answer(self, request: dict[str, Any]) -> llama.Reply:
        """Do what is asked."""
        if "open" in request:
            return self._open(request["open"], request.get("adapter")), ()
        if "render" in request:
            return {"prompts": [self._render(one) for one in request["render"]]}, ()
        with ThreadPoolExecutor(_AT_ONCE) as several:
            return {"answers": list(several.map(self._ask, *zip(*request["ask"], strict=True)))}, ()

    def _open(self, longest: int, adapter: str | None) -> dict[str, Any]:
        settings = xllamacpp.CommonParams()
        settings.model.path = str(self._file)
        settings.n_ctx, settings.n_parallel = _AT_ONCE * longest, _AT_ONCE
        settings.n_batch, settings.cache_ram_mib = _BATCH, 0  # by default a GB and more
        settings.warmup, settings.fit_params, settings.ui = False, False, False
        settings.n_gpu_layers, settings.verbosity = 0, _ERRORS
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = llama.threads()
        settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        settings.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        # What it says as it says it: no thought and no call is to be taken out.
        settings.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
        settings.force_pure_content_parser = True
        settings.api_keys = [self._key]
        if adapter is not None:
            settings.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 1.0)]
        try:
            self._server = xllamacpp.Server(settings)
        except RuntimeError as error:  # the reason is in what was printed, and only there
            raise RuntimeError(
                "its server does not take the adapter, or not its base's chat template"
                if adapter is not None
                else "its server does not take the file, mostly for a chat template that is broken"
            ) from error
        return {}

    def _render(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """A conversation as the file's template renders it, and the token ids of that."""
        try:
            prompt = self._post("/apply-template", {"messages": messages})["prompt"]
            asked = {"content": prompt, "add_special": True, "parse_special": True}
            return {"text": prompt, "ids": self._post("/tokenize", asked)["tokens"]}
        except urllib.error.HTTPError as error:  # the template refuses, or is none
            said = json.load(error).get("error", {}).get("message", str(error))
            return {"error": str(said).strip()}

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self._server.listening_address + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"},
        )
        own = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with own.open(request, timeout=_SECONDS) as answer:
            return json.load(answer)

    def _ask(self, messages: list[dict[str, Any]], most: int) -> dict[str, Any]:
        """The likeliest answer, and whether it ended by itself."""
        request = {"messages": messages, "temperature": 0, "max_tokens": most}
        answer = self._server.handle_chat_completions(request)
        if "choices" not in answer:
            raise RuntimeError(str(answer.get("message") or answer.get("error") or answer))
        choice = answer["choices"][0]
        return {
            "text": choice["message"].get("content") or "",
            "ended": choice["finish_reason"] != "length",
        }
