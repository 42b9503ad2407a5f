"""What a comparison measures, computed anew by plain transformers and PEFT, one row at a time."""

from dataclasses import dataclass

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.adapters import DEMO_MODEL


@dataclass(frozen=True)
class Plain:
    """One model's figures over the same rows and prompts."""

    loss: float
    kl: float
    changed: float
    texts: list


def load(path=None, method="full"):
    """The demo's base, an adapter on it, or a whole model; float32."""
    source = path if path and method == "full" else DEMO_MODEL
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    return (PeftModel.from_pretrained(model, path) if method == "lora" else model).eval()


def encoded(tokenizer, question):
    """A question as token ids up to where the answer begins."""
    messages = [{"role": "user", "content": question}]
    return tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=False
    )


@torch.no_grad()
def greedy(model, tokenizer, prompt, most):
    """The likeliest answer's token ids, without the one that ends it."""
    made = model.generate(
        torch.tensor([prompt]), do_sample=False, max_new_tokens=most, pad_token_id=0
    )[0, len(prompt) :].tolist()
    return [token for token in made if token != tokenizer.eos_token_id]


@torch.no_grad()
def measure(model, base, tokenizer, rows, *, asked, most):
    """Loss over the rows' answers; KL along the base's answers to the first `asked` of them."""
    total, count = 0.0, 0
    for row in rows:
        messages = [
            {"role": "user", "content": row["question"]},
            {"role": "assistant", "content": row["answer"]},
        ]
        text = tokenizer.apply_chat_template(messages, tokenize=False).rstrip()
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        start = len(encoded(tokenizer, row["question"]))
        scores = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        total -= sum(float(scores[place - 1, ids[place]]) for place in range(start, len(ids)))
        count += len(ids) - start
    divergence, places, changed, texts = 0.0, 0, 0, []
    for row in rows[:asked]:
        prompt = encoded(tokenizer, row["question"])
        answer, before = (greedy(one, tokenizer, prompt, most) for one in (model, base))
        texts.append(tokenizer.decode(answer, skip_special_tokens=True))
        changed += answer != before
        along = torch.tensor([[*prompt, *before]])
        tuned, plain = (
            one(along).logits[0, len(prompt) - 1 :].log_softmax(-1) for one in (model, base)
        )
        divergence += float((tuned.exp() * (tuned - plain)).sum())
        places += len(plain)
    return Plain(total / count, divergence / places, changed / asked, texts)
