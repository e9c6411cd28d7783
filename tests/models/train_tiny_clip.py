"""Train the tiny CLIP that the tests and `make demo-images` use; about a minute on one core.

    OMP_NUM_THREADS=1 python -m tests.models.train_tiny_clip [--steps 900] [--seed 0] [--out tests/models/tiny-clip]

It is open_clip's own model class with open_clip's own tokenizer and vocabulary, and it learns drawn pictures of one
coloured shape each, with captions that tell the colour and the shape, and sometimes the place. The folder that is
written is one that open_clip loads by itself, as `local-dir:FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np

from lancelike._optional import require
from lancelike.cli.drawings import COLOURS, PLACES, SHAPES, Drawing, draw, where

open_clip = require("open_clip", extra="open-clip", needed_by="training")  # before torchvision is imported by others

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

FOLDER = Path(__file__).parent / "tiny-clip"
MODEL = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 12, "heads": 2, "layers": 2, "mlp_ratio": 2.0},
}
PREPROCESS = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
TEMPLATES = (
    *("a {colour} {shape}", "{colour} {shape}", "a photo of a {colour} {shape}", "a picture of one {colour} {shape}"),
    *("an image with a {colour} {shape}", "the {colour} {shape}", "a drawing of the {colour} {shape}"),
    *("there is a {colour} {shape} here", "a {shape} that is {colour}", "the {shape} is {colour}"),
    *("{shape} , {colour}", "{shape} in {colour}"),
)
PLACED = 0.5
"""Share of the captions that tell the place as well."""
STRANGE = 0.25
"""Share of the captions with a word in them that tells nothing."""
SHARPEST = 60.0
"""Bound of the logit scale."""


def train(steps: int, seed: int, pictures: int = 16_000, batch: int = 192, rate: float = 3e-3) -> Any:
    """Make a model that knows the drawings."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = random.Random(seed)
    model, tokenizer = open_clip.CLIP(**MODEL), open_clip.SimpleTokenizer(context_length=16)
    drawings = [
        Drawing(rng.choice(list(COLOURS)), rng.choice(SHAPES), rng.choice(list(PLACES))) for _ in range(pictures)
    ]
    pixels = torch.from_numpy(np.stack([np.asarray(draw(each, rng)) for each in drawings]))
    pixels = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    codes = torch.tensor([[kind_of(each), list(PLACES).index(each.place)] for each in drawings])
    strange = freeze_unused(model.token_embedding.weight, tokenizer)
    optimizer = torch.optim.AdamW(groups(model), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    start = time.perf_counter()
    for step in range(1, steps + 1):
        chosen = torch.tensor([rng.randrange(pictures) for _ in range(batch)])
        captions, placed = zip(*(caption(drawings[i], rng) for i in chosen.tolist()), strict=True)
        tokens = with_strange_words(tokenizer(list(captions)), tokenizer.eot_token_id, strange, rng)
        images, texts, scale = model(varied(pixels[chosen]), tokens)[:3]
        loss = contrastive_loss(scale * images @ texts.T, matches(codes[chosen], torch.tensor(placed)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(SHARPEST))
        if step % 100 == 0:
            print(f"step {step}: loss {loss.item():.3f}, {time.perf_counter() - start:.0f} s", flush=True)
    return model


def kind_of(drawing: Drawing) -> int:
    return list(COLOURS).index(drawing.colour) * len(SHAPES) + SHAPES.index(drawing.shape)


def caption(drawing: Drawing, rng: random.Random) -> tuple[str, bool]:
    """A caption, and whether it tells the place."""
    text = rng.choice(TEMPLATES).format(colour=drawing.colour, shape=drawing.shape)
    placed = rng.random() < PLACED
    return (f"{text} {where(drawing.place)}" if placed else text), placed


def freeze_unused(embedding: Any, tokenizer: Any) -> list[int]:
    """Set the embeddings of all tokens that no caption has to 0, for good, so that the file compresses; return these.

    An unknown word then tells nothing.
    """
    words = [
        f"{template.format(colour=colour, shape=shape)} {where(place)}"
        for template in TEMPLATES
        for colour in COLOURS
        for shape in SHAPES
        for place in PLACES
    ]
    used = torch.zeros(len(embedding), dtype=torch.bool)
    used[tokenizer(words).flatten()] = True
    with torch.no_grad():
        embedding[~used] = 0
    embedding.register_hook(lambda gradient: gradient * used[:, None])
    unused: list[int] = (~used).nonzero().flatten().tolist()
    return unused


def with_strange_words(tokens: Any, end: int, strange: list[int], rng: random.Random) -> Any:
    """*tokens*, some rows of them with one of the *strange* ones put in."""
    for row in tokens:
        if rng.random() < STRANGE:
            last = int((row == end).nonzero()[0])
            at = rng.randint(1, last)
            if last < len(row) - 1:
                row[at + 1 : last + 2] = row[at : last + 1].clone()
                row[at] = rng.choice(strange)
    return tokens


def varied(pixels: Any) -> Any:
    """*pixels* in another light."""
    shape = (len(pixels), 1, 1, 1)
    return pixels * (1 + 0.1 * (torch.rand(shape) - 0.5)) + 0.1 * (torch.rand(shape) - 0.5)


def matches(codes: Any, placed: Any) -> Any:
    """Whether picture i is what caption j tells, shape (n, n)."""
    kinds, places = codes.T
    return (kinds[:, None] == kinds) & (~placed | (places[:, None] == places))


def contrastive_loss(logits: Any, positive: Any) -> Any:
    """Cross entropy both ways, where several pictures may match one caption."""
    share = positive.float()
    images = (F.log_softmax(logits, 1) * share / share.sum(1, keepdim=True)).sum(1).mean()
    texts = (F.log_softmax(logits, 0) * share / share.sum(0, keepdim=True)).sum(0).mean()
    return -(images + texts) / 2


def groups(model: Any) -> list[dict[str, Any]]:
    """Weight decay for the matrices alone, the tokens' embeddings not among them."""
    embedding = model.token_embedding.weight
    decayed = [each for each in model.parameters() if each.ndim > 1 and each is not embedding]
    others = [each for each in model.parameters() if each.ndim <= 1 or each is embedding]
    return [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]


def save(model: Any, folder: Path) -> None:
    """Write a folder for open_clip, the weights as float16."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    save(train(options.steps, options.seed), options.out)


if __name__ == "__main__":
    main()
