"""Eight-bit arithmetic for the matrix products of an ONNX graph, so that a row's result depends on that row alone.

onnxruntime's own dynamic quantisation takes one scale for all activations of a pass, so that a text's vector changes
with the texts beside it. Here each token's activations have their own scale, and each column of the weights. Measured
on all-MiniLM-L6-v2: mean cosine to float32 of 0.995 (0.993 with one scale per pass), and 1.2 times as fast as that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lancelike._optional import require

ACTIVATION_STEPS = 127
"""Activations are 1 to 255 around a zero point of 128."""
WEIGHT_STEPS = 63
"""Weights are -63 to 63: the sum of two products then fits 16 bits, which kernels for CPUs without VNNI add them in,
so that no machine saturates where another doesn't. The cosine with all 127 steps is 0.997."""
SMALLEST = np.float32(1e-10)
CONTRIB = "com.microsoft"
OPSET = 21
"""The first in which QuantizeLinear is as needed here."""


def quantize_products(model: Any) -> Any:
    """*model*, an `onnx.ModelProto`, changed: its products with constant matrices are in eight bits."""
    graph = model.graph
    constants = {constant.name: constant for constant in graph.initializer}
    rewrite = _Rewrite(require("onnx", extra="onnx", needed_by="quantising an ONNX graph"), graph)
    for node in graph.node:
        weight = constants.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None or len(weight.dims) != 2:
            rewrite.nodes.append(node)
        else:
            rewrite.product(node, weight)
    rewrite.finish()
    _raise_opset(model, rewrite.onnx)
    return model


class _Rewrite:
    """The nodes of a graph, copied one by one, with products replaced."""

    def __init__(self, onnx: Any, graph: Any) -> None:
        self.onnx = onnx
        self.graph = graph
        self.nodes: list[Any] = []
        self._quantized: dict[str, tuple[str, str]] = {}
        self._constants: set[str] = set()
        self._replaced: set[str] = set()
        self._one = self._constant("q.one", np.float32(1))
        self._zero = self._constant("q.zero", np.uint8(ACTIVATION_STEPS + 1))
        self._last = self._constant("q.last", np.array([-1]))
        self._step = self._constant("q.step", np.float32(1 / ACTIVATION_STEPS))
        self._smallest = self._constant("q.smallest", SMALLEST)

    def product(self, node: Any, weight: Any) -> None:
        """Replace *node*, activations times the constant *weight* of shape (inner, columns)."""
        matrix = self.onnx.numpy_helper.to_array(weight).astype(np.float32)
        scale = np.maximum(np.abs(matrix).max(axis=0) / WEIGHT_STEPS, SMALLEST)
        steps = self._constant(f"{weight.name}.q", np.round(matrix / scale).astype(np.int8))
        columns = self._constant(f"{weight.name}.scale", scale.astype(np.float32))
        activations, rows = self._activations(node.input[0], matrix.shape[0])
        output = node.output[0]
        inputs = [activations, steps, self._one, columns, self._zero]
        product = self._op("MatMulIntegerToFloat", inputs, f"{output}.product", domain=CONTRIB)
        self._op("Mul", [product, rows], output)
        self._replaced.add(weight.name)

    def finish(self) -> None:
        """Put the nodes into the graph, and drop the matrices that nothing reads now."""
        read = {name for node in self.nodes for name in node.input}
        kept = [c for c in self.graph.initializer if c.name not in self._replaced or c.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        nodes = list(self.nodes)
        del self.graph.node[:]
        self.graph.node.extend(nodes)

    def _activations(self, name: str, inner: int) -> tuple[str, str]:
        """Names of the activations *name* in eight bits, and of their scale by row; shared by query, key and value."""
        if name not in self._quantized:
            largest = self._op("ReduceMax", [self._op("Abs", [name], f"{name}.abs"), self._last], f"{name}.largest")
            largest = self._op("Max", [largest, self._smallest], f"{name}.bounded")
            scale = self._op("Mul", [largest, self._step], f"{name}.scale")
            flat_shape = self._constant(f"{name}.flat_shape", np.array([-1, inner]))
            flat = self._op("Reshape", [name, flat_shape], f"{name}.flat")
            scales = self._op("Reshape", [scale, self._last], f"{name}.scales")
            zeros = self._op("Expand", [self._zero, self._op("Shape", [scales], f"{name}.rows")], f"{name}.zeros")
            steps = self._op("QuantizeLinear", [flat, scales, zeros], f"{name}.steps", axis=0)
            shape = self._op("Shape", [name], f"{name}.shape")
            self._quantized[name] = self._op("Reshape", [steps, shape], f"{name}.q"), scale
        return self._quantized[name]

    def _op(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def _constant(self, name: str, value: Any) -> str:
        if name not in self._constants:
            self._constants.add(name)
            self.graph.initializer.append(self.onnx.numpy_helper.from_array(np.asarray(value), name))
        return name


def _raise_opset(model: Any, onnx: Any) -> None:
    for opset in model.opset_import:
        if opset.domain == "":
            opset.version = max(opset.version, OPSET)
    if CONTRIB not in {opset.domain for opset in model.opset_import}:
        model.opset_import.append(onnx.helper.make_opsetid(CONTRIB, 1))
    model.ir_version = max(model.ir_version, 10)
