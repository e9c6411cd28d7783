"""Writing a model's folder for the function `onnx`: a graph, a tokenizer, and the configuration both need."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lancelike.embeddings.local.folder import TOKENIZER, ModelFolder, open_folder
from lancelike.embeddings.local.models import Precision, make_graph

COPIED = (TOKENIZER, "config.json", "tokenizer_config.json", "special_tokens_map.json")
MODULES = "sentence_transformers.models"


def export_onnx(
    source: str | Path, target: str | Path, *, precision: Precision = "float32", overwrite: bool = False
) -> Path:
    """Write the model *source* into the folder *target*: `model.onnx`, `tokenizer.json` and configuration.

    Args:
        source: A folder of a sentence-transformers model, or its name, as in `OnnxEmbeddings.name`.
        target: The folder; it is made, with its parents.
        precision: Of the graph's matrix products.
        overwrite: Write into a folder that has files already.

    Returns:
        The folder, to be given as `name=` of the function `onnx`. It stands alone, and the graph, which gives a
        vector per token, runs elsewhere too; of `"int8"`, where onnxruntime does.

    Raises:
        FileExistsError: The folder has files, and *overwrite* is false.
        EmbeddingFunctionUnavailable: There is no such model, or its graph can't be written.
    """
    folder, target = open_folder(str(source)), Path(target)
    if target.is_dir() and any(target.iterdir()) and not overwrite:
        raise FileExistsError(f"the folder {target} has files already; pass overwrite=True to write among them")
    graph = make_graph(folder, precision).SerializeToString()
    target.mkdir(parents=True, exist_ok=True)
    (target / "model.onnx").write_bytes(graph)
    _copy_files(folder, target)
    _write_configuration(folder, target)
    return target


def _copy_files(folder: ModelFolder, target: Path) -> None:
    for path in (folder.path / name for name in COPIED):
        if path.is_file():
            shutil.copyfile(path, target / path.name)


def _write_configuration(folder: ModelFolder, target: Path) -> None:
    modules = [
        ("Transformer", ""),
        ("Pooling", "1_Pooling"),
        *([("Normalize", "2_Normalize")] if folder.normalize else []),
    ]
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"{MODULES}.{kind}"} for i, (kind, path) in enumerate(modules)
    ]
    _write_json(target / "modules.json", listed)
    _write_json(target / "1_Pooling" / "config.json", {"pooling_mode": folder.pooling})
    own = {"max_seq_length": folder.max_length, "do_lower_case": folder.lowercase}
    _write_json(target / "sentence_bert_config.json", own)


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
