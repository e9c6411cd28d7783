"""Models of the real architectures with random weights, small enough to be made for a test."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

transformers: Any = importlib.import_module("transformers")  # its annotations are not fit for strict checks
TEXTS = [
    "The cat sat on the mat.",
    "Compress a file with gzip, then send it.",
    "",
    "Ünïcödé: 東京 — שלום 🙂",
    "one",
    "a much longer text about nothing in particular " * 30,
    "The dog sat on the log.",
]
LETTERS = [chr(code) for code in range(33, 127)]
LONGEST = 48


def write_tokenizer(folder: Path, *, pad: str, start: str, end: str, unknown: str) -> int:
    """A tokenizer of letters in *folder*; the padding token has the number 1. Returns the size of its vocabulary."""
    vocabulary = {token: i for i, token in enumerate([start, pad, end, unknown, *LETTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.NFKD()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, 0), (end, 2)]
    )
    names = {"pad_token": pad, "cls_token": start, "sep_token": end, "unk_token": unknown}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=LONGEST, **names)
    fast.save_pretrained(folder)
    return len(vocabulary)


def write_bert(folder: Path, **settings: Any) -> Path:
    torch.manual_seed(0)
    size = write_tokenizer(folder, pad="[PAD]", start="[CLS]", end="[SEP]", unknown="[UNK]")
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.BertConfig(
        **{
            "vocab_size": size,
            "max_position_embeddings": 64,
            "pad_token_id": 1,
            "initializer_range": 0.2,
            **shape,
            **settings,
        }
    )
    transformers.BertModel(config).eval().save_pretrained(folder)
    return folder


def write_roberta(folder: Path) -> Path:
    torch.manual_seed(1)
    size = write_tokenizer(folder, pad="<pad>", start="<s>", end="</s>", unknown="<unk>")
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.XLMRobertaConfig(
        vocab_size=size, max_position_embeddings=66, pad_token_id=1, type_vocab_size=1, initializer_range=0.2, **shape
    )
    transformers.XLMRobertaModel(config).eval().save_pretrained(folder)
    return folder


def add_modules(folder: Path, pooling: dict[str, Any], *, normalize: bool) -> None:
    """Make *folder* one of sentence-transformers: pooling after the transformer, then maybe normalisation."""
    kinds = [("Transformer", ""), ("Pooling", "1_Pooling"), *([("Normalize", "2_Normalize")] if normalize else [])]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": LONGEST, "do_lower_case": False}))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "2_Normalize").mkdir(exist_ok=True)
    config = {"word_embedding_dimension": 32, "embedding_dimension": 32, **pooling}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))


def write_static(folder: Path, minilm: Path, dim: int = 64) -> Path:
    """A static model with meaning: the token vectors of *minilm*, projected on their *dim* principal axes."""
    from model2vec import StaticModel
    from safetensors.numpy import load_file

    tokens = load_file(minilm / "model.safetensors")["embeddings.word_embeddings.weight"]
    centred = tokens - tokens.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    vectors = np.ascontiguousarray(centred @ axes[:, ::-1][:, :dim])
    tokenizer = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    StaticModel(vectors, tokenizer, config={"normalize": True}, normalize=True).save_pretrained(folder)
    return folder


def write_instructor(folder: Path) -> Path:
    """The files of an hkunlp/instructor-* model: a T5 encoder, the mean, a dense layer without bias, unit length."""
    torch.manual_seed(2)
    size = write_tokenizer(folder, pad="<pad>", start="<s>", end="</s>", unknown="<unk>")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = transformers.T5Config(
        vocab_size=size, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, pad_token_id=1
    )
    transformers.T5EncoderModel(config).eval().save_pretrained(folder)
    add_modules(folder, {"pooling_mode_mean_tokens": True}, normalize=False)
    modules = json.loads((folder / "modules.json").read_text())
    for kind, path in (("Dense", "2_Dense"), ("Normalize", "3_Normalize")):
        place = {"idx": len(modules), "name": str(len(modules)), "path": path}
        modules.append({**place, "type": f"sentence_transformers.models.{kind}"})
        (folder / path).mkdir()
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 512, "do_lower_case": False}))
    dense = {
        "in_features": 32,
        "out_features": 24,
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    (folder / "2_Dense" / "config.json").write_text(json.dumps(dense))
    torch.save({"linear.weight": torch.randn(24, 32) * 0.2}, folder / "2_Dense" / "pytorch_model.bin")
    return folder
