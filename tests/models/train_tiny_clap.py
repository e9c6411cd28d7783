"""Train the tiny CLAP that the tests use; about three minutes on one core.

    OMP_NUM_THREADS=1 python -m tests.models.train_tiny_clap [--steps 400] [--seed 0] [--out tests/models/tiny-clap]

It is transformers' own `ClapModel` with its own feature extractor, and it learns the sounds of `sounds.py` with
captions. The folder that is written is one that `ClapModel.from_pretrained` and `ClapProcessor.from_pretrained` load.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from typing import Any

from lancelike._optional import require
from tests.models.sounds import SAMPLING_RATE, Sound, every_sound, synthesize

transformers = require("transformers", extra="clap", needed_by="training")  # before torchvision is imported by others

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers  # noqa: E402

from tests.models.train_tiny_clip import contrastive_loss  # noqa: E402

FOLDER = Path(__file__).parent / "tiny-clap"
SPECIAL = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
NDIMS = 32
FEATURES = {
    "feature_size": 32,
    "sampling_rate": SAMPLING_RATE,
    "hop_length": 768,
    "max_length_s": 1,
    "fft_window_size": 2048,
    "frequency_min": 50,
    "frequency_max": 14000,
    "truncation": "rand_trunc",
    "padding": "repeatpad",
}
TEXT = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
}
AUDIO = {
    "spec_size": 64,
    "num_mel_bins": 32,
    "window_size": 4,
    "patch_size": 4,
    "patch_stride": [4, 4],
    "patch_embeds_hidden_size": 32,
    "depths": [2, 2],
    "num_attention_heads": [2, 4],
    "hidden_size": 64,
    "num_classes": 8,
    "enable_fusion": False,
    "projection_dim": NDIMS,
    "drop_path_rate": 0.0,
}
TEMPLATES = (
    "a {pitch} {pattern} {wave} sound",
    "{pattern} {pitch} {wave}",
    "the sound of a {pattern} {pitch} {wave} tone",
    "a {wave} that is {pitch} and {pattern}",
    "recording of {pitch} {wave} , {pattern}",
)
SCALE = 15.0


def train(steps: int, seed: int, sounds: int = 1200, batch: int = 96, rate: float = 2e-3) -> tuple[Any, Any]:
    """Make a model that knows the sounds, and its processor."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rng = random.Random(seed)
    every = list(every_sound())
    tokenizer, extractor = word_tokenizer(every), transformers.ClapFeatureExtractor(**FEATURES)
    model = transformers.ClapModel(
        transformers.ClapConfig(
            projection_dim=NDIMS, text_config={**TEXT, "vocab_size": len(tokenizer)}, audio_config=AUDIO
        )
    )
    kinds = torch.tensor([i % len(every) for i in range(sounds)])
    features = spectrograms(extractor, [synthesize(every[kind], rng) for kind in kinds])
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    start = time.perf_counter()
    for step in range(1, steps + 1):
        chosen = torch.tensor(rng.sample(range(sounds), batch))
        captions = [caption(every[kind], rng) for kind in kinds[chosen]]
        tokens = tokenizer(captions, return_tensors="pt", padding=True)
        longer = torch.zeros(batch, 1, dtype=torch.bool)
        heard = unit(model.get_audio_features(input_features=features[chosen], is_longer=longer))
        read = unit(model.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]))
        same = kinds[chosen][:, None] == kinds[chosen]
        loss = contrastive_loss(SCALE * heard @ read.T, same)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.3f}, {time.perf_counter() - start:.0f} s", flush=True)
    return model, transformers.ClapProcessor(extractor, tokenizer)


def word_tokenizer(every: list[Sound]) -> Any:
    """A tokenizer that knows the captions' words, and lets others be `<unk>`."""
    words = Tokenizer(models.WordLevel(unk_token=SPECIAL["unk_token"]))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    known = sorted({word for sound in every for template in TEMPLATES for word in fill(template, sound).split()})
    words.train_from_iterator([" ".join(known)], trainers.WordLevelTrainer(special_tokens=list(SPECIAL.values())))
    words.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=32, **SPECIAL)


def spectrograms(extractor: Any, sounds: list[Any]) -> Any:
    return extractor(sounds, sampling_rate=SAMPLING_RATE, return_tensors="pt")["input_features"]


def caption(sound: Sound, rng: random.Random) -> str:
    return fill(rng.choice(TEMPLATES), sound)


def fill(template: str, sound: Sound) -> str:
    return template.format(wave=sound.wave, pitch=sound.pitch, pattern=sound.pattern)


def unit(features: Any) -> Any:
    """Of unit length; transformers 5 hands out an object around the vectors."""
    return F.normalize(getattr(features, "pooler_output", features), dim=-1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model, processor = train(options.steps, options.seed)
    model.eval().half().save_pretrained(options.out)
    processor.save_pretrained(options.out)


if __name__ == "__main__":
    main()
