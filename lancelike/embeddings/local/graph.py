"""Writing a transformer's ONNX graph from its configuration and weights, with no torch.

The graph takes `input_ids` and `attention_mask`, int64 of shape (batch, sequence), and gives `last_hidden_state`,
float32 of shape (batch, sequence, hidden size). Texts are padded at their end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lancelike._optional import require
from lancelike.embeddings.local.folder import ARCHITECTURES, ModelFolder, position_offset
from lancelike.errors import EmbeddingFunctionUnavailable

ACTIVATIONS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "gelu": ("Gelu", {}),
    "gelu_new": ("Gelu", {"approximate": "tanh"}),
    "gelu_pytorch_tanh": ("Gelu", {"approximate": "tanh"}),
    "relu": ("Relu", {}),
}
PREFIXES = ("", "bert.", "roberta.")
OPSET, IR_VERSION = 20, 10
MASKED = np.float32(-1e9)


def write_graph(folder: ModelFolder) -> Any:
    """The `onnx.ModelProto` of the model in *folder*, its weights inside.

    Raises:
        ImportError: The package onnx or safetensors is not installed.
        EmbeddingFunctionUnavailable: The model is of an architecture that this can't write, or has no weights.
    """
    config = folder.config
    problem = _problem(config, folder)
    if problem:
        raise EmbeddingFunctionUnavailable(
            f"no ONNX graph can be written for {folder.path}: {problem}",
            function="onnx",
            hint="put a model.onnx made elsewhere into the folder, or use the function 'sentence-transformers'",
        )
    load_file = require("safetensors.numpy", extra="onnx", needed_by="writing an ONNX graph").load_file
    return BertGraph(config, load_file(folder.weights)).model()


def _problem(config: Mapping[str, Any], folder: ModelFolder) -> str:
    if not folder.weights.is_file():
        return f"it has no {folder.weights.name}"
    if config.get("model_type") not in ARCHITECTURES:
        return f"its model_type is {config.get('model_type')!r}, not one of {', '.join(sorted(ARCHITECTURES))}"
    if config.get("position_embedding_type", "absolute") != "absolute":
        return f"its positions are {config['position_embedding_type']}"
    if config.get("hidden_act") not in ACTIVATIONS:
        return f"its hidden_act is {config.get('hidden_act')!r}"
    return ""


class BertGraph:
    """A BERT encoder in the making: each method adds nodes and returns the name of their output."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> None:
        self._onnx = require("onnx", extra="onnx", needed_by="writing an ONNX graph")
        self._config = config
        self._weights = weights
        self._prefix = next(p for p in PREFIXES if f"{p}embeddings.word_embeddings.weight" in weights)
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}

    def model(self) -> Any:
        """The whole graph as an `onnx.ModelProto`, checked."""
        helper, types = self._onnx.helper, self._onnx.TensorProto
        hidden, bias = self._embeddings(), self._mask_bias()
        for layer in range(self._config["num_hidden_layers"]):
            hidden = self._layer(hidden, bias, f"encoder.layer.{layer}.")
        self._nodes.append(helper.make_node("Identity", [hidden], ["last_hidden_state"]))
        shape = ["batch", "sequence"]
        inputs = [helper.make_tensor_value_info(n, types.INT64, shape) for n in ("input_ids", "attention_mask")]
        output = helper.make_tensor_value_info("last_hidden_state", types.FLOAT, [*shape, self._config["hidden_size"]])
        graph = helper.make_graph(self._nodes, "encoder", inputs, [output], list(self._constants.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="lancelike")
        self._onnx.checker.check_model(model)
        return model

    def _embeddings(self) -> str:
        words = self._op("Gather", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        first = position_offset(self._config)
        length = self._op("Slice", self._op("Shape", "input_ids"), self._ints(1), self._ints(2))
        past = self._op("Add", length, self._ints(first))
        table = self._weight("embeddings.position_embeddings.weight")
        positions = self._op("Slice", table, self._ints(first), past, self._ints(0))
        kind = self._constant(self._array("embeddings.token_type_embeddings.weight")[0])
        return self._norm(self._op("Add", self._op("Add", words, positions), kind), "embeddings.LayerNorm")

    def _mask_bias(self) -> str:
        """What is added to the attention scores: 0 for tokens, a large negative number for padding."""
        mask = self._op("Cast", "attention_mask", to=self._onnx.TensorProto.FLOAT)
        padding = self._op("Sub", self._constant(np.float32(1)), self._op("Unsqueeze", mask, self._ints(1, 2)))
        return self._op("Mul", padding, self._constant(MASKED))

    def _layer(self, hidden: str, bias: str, name: str) -> str:
        attended = self._linear(
            self._attention(hidden, bias, f"{name}attention.self."), f"{name}attention.output.dense"
        )
        hidden = self._norm(self._op("Add", attended, hidden), f"{name}attention.output.LayerNorm")
        activation, options = ACTIVATIONS[self._config["hidden_act"]]
        inner = self._op(activation, self._linear(hidden, f"{name}intermediate.dense"), **options)
        outer = self._linear(inner, f"{name}output.dense")
        return self._norm(self._op("Add", outer, hidden), f"{name}output.LayerNorm")

    def _attention(self, hidden: str, bias: str, name: str) -> str:
        size, heads = self._config["hidden_size"], self._config["num_attention_heads"]
        query, key, value = (
            self._heads(self._linear(hidden, name + part), order)
            for part, order in (("query", (0, 2, 1, 3)), ("key", (0, 2, 3, 1)), ("value", (0, 2, 1, 3)))
        )
        scale = self._constant(np.float32((size // heads) ** -0.5))
        scores = self._op("Add", self._op("Mul", self._op("MatMul", query, key), scale), bias)
        mixed = self._op("MatMul", self._op("Softmax", scores, axis=-1), value)
        return self._op("Reshape", self._op("Transpose", mixed, perm=(0, 2, 1, 3)), self._ints(0, 0, size))

    def _heads(self, hidden: str, order: tuple[int, ...]) -> str:
        size, heads = self._config["hidden_size"], self._config["num_attention_heads"]
        return self._op("Transpose", self._op("Reshape", hidden, self._ints(0, 0, heads, size // heads)), perm=order)

    def _linear(self, hidden: str, name: str) -> str:
        product = self._op("MatMul", hidden, self._constant(self._array(f"{name}.weight").T))
        return self._op("Add", product, self._weight(f"{name}.bias"))

    def _norm(self, hidden: str, name: str) -> str:
        scale, shift = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._op("LayerNormalization", hidden, scale, shift, axis=-1, epsilon=self._config["layer_norm_eps"])

    def _op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"{kind}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def _array(self, name: str) -> NDArray[np.float32]:
        return self._weights[self._prefix + name].astype(np.float32, copy=False)

    def _weight(self, name: str) -> str:
        return self._constant(self._array(name))

    def _ints(self, *values: int) -> str:
        return self._constant(np.array(values, dtype=np.int64))

    def _constant(self, value: Any) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants[name] = self._onnx.numpy_helper.from_array(
            np.ascontiguousarray(value).reshape(np.shape(value)), name
        )
        return name
