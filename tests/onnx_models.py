"""Small ONNX files like those that frameworks export, written with the package onnx."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

COLOURS = ("batch", 3, 16, 16)  # the input of `colours`
Node = tuple[str, str, str, dict[str, Any]]  # an operator, its inputs, outputs and attributes


def save(
    file: Path,
    nodes: Sequence[Node],
    weights: Mapping[str, NDArray[Any]] | None = None,
    inputs: Mapping[str, Sequence[Any]] | None = None,
    outputs: Mapping[str, Sequence[Any]] | None = None,
    notes: Mapping[str, str] | None = None,
    kind: int = TensorProto.FLOAT,
) -> str:
    """Write a graph of nodes ``(operator, inputs, outputs, attributes)``; spaces separate names.

    The oldest supported OpenVINO reads these versions of format and operators.
    """

    def values(shapes: Mapping[str, Sequence[Any]]) -> list[Any]:
        return [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()]

    graph = helper.make_graph(
        [
            helper.make_node(operator, taken.split(), given.split(), **attributes)
            for operator, taken, given, attributes in nodes
        ],
        "graph",
        values(inputs or {"pixels": COLOURS}),
        values(outputs or {"features": ("batch", "d")}),
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(notes or {}))
    onnx.save(model, file)
    return str(file)


def colours(file: Path, **more: Any) -> str:
    """Write a network that computes mean colours: a feature map and its average."""
    nodes: list[Node] = [
        ("Neg", "pixels", "negative", {}),
        ("Neg", "negative", "map", {}),
        ("GlobalAveragePool", "map", "pooled", {}),
        ("Flatten", "pooled", "features", {}),
    ]
    return save(file, nodes, **more)


class Transformer:
    """A vision transformer of one block with random weights, and the same computation in NumPy.

    An image of 32 x 32 becomes 16 patches and a class token, of 12 numbers each.
    """

    width, heads, patch = 12, 2, 8

    def __init__(self) -> None:
        rng, w = np.random.default_rng(0), self.width
        shapes = {
            **{"patches": (w, 3, 8, 8), "token": (1, 1, w), "positions": (1, 17, w)},
            **{"qkv": (w, 3 * w), "mix": (w, w), "widen": (w, 4 * w), "narrow": (4 * w, w)},
            **{f"{name}{kind}": (w,) for name in ("one", "two", "end") for kind in ("_x", "_y")},
        }
        self.weights = {
            name: (rng.normal(size=shape) / 2).astype(np.float32) for name, shape in shapes.items()
        }

    def save(self, file: Path, batch: int | str = "batch", **more: Any) -> str:
        """Write it with the outputs of Hugging Face: all tokens, and a layer on the first one.

        If `batch` is a number, the graph has this fixed batch size.
        """
        w, h = self.width, self.heads
        first = batch if isinstance(batch, int) else 0  # 0: the size of the input
        constants = {
            "flat": np.array([first, w, -1]),
            "split": np.array([first, -1, 3, h, w // h]),
            "joined": np.array([first, -1, w]),
            "zero": np.array(0),
            "none": np.float32(0),
            "scale": np.float32((w // h) ** -0.5),
        }
        norm = {"axis": -1, "epsilon": 1e-6}
        nodes: list[Node] = [
            ("Conv", "pixels patches", "grid", {"strides": [8, 8]}),
            ("Reshape", "grid flat", "columns", {}),
            ("Transpose", "columns", "tokens", {"perm": [0, 2, 1]}),
            ("ReduceMean", "tokens", "mean", {"axes": [1]}),
            ("Mul", "mean none", "nothing", {}),
            ("Add", "nothing token", "class", {}),
            ("Concat", "class tokens", "sequence", {"axis": 1}),
            ("Add", "sequence positions", "x", {}),
            ("LayerNormalization", "x one_x one_y", "x1", norm),
            ("MatMul", "x1 qkv", "x2", {}),
            ("Reshape", "x2 split", "x3", {}),
            ("Transpose", "x3", "x4", {"perm": [2, 0, 3, 1, 4]}),
            ("Split", "x4", "q k v", {"axis": 0}),
            ("Transpose", "k", "kt", {"perm": [0, 1, 2, 4, 3]}),
            ("MatMul", "q kt", "products", {}),
            ("Mul", "products scale", "scaled", {}),
            ("Softmax", "scaled", "shares", {"axis": -1}),
            ("MatMul", "shares v", "x5", {}),
            ("Gather", "x5 zero", "x6", {"axis": 0}),
            ("Transpose", "x6", "x7", {"perm": [0, 2, 1, 3]}),
            ("Reshape", "x7 joined", "x8", {}),
            ("MatMul", "x8 mix", "x9", {}),
            ("Add", "x x9", "y", {}),
            ("LayerNormalization", "y two_x two_y", "y1", norm),
            ("MatMul", "y1 widen", "y2", {}),
            ("Relu", "y2", "y3", {}),
            ("MatMul", "y3 narrow", "y4", {}),
            ("Add", "y y4", "z", {}),
            ("LayerNormalization", "z end_x end_y", "last_hidden_state", norm),
            ("Gather", "last_hidden_state zero", "first", {"axis": 1}),
            ("Tanh", "first", "pooler_output", {}),
        ]
        outputs = {"last_hidden_state": (batch, 17, w), "pooler_output": (batch, w)}
        shape = {"pixels": (batch, 3, 32, 32)}
        weights = {**self.weights, **constants}
        return save(file, nodes, weights, inputs=shape, outputs=outputs, **more)

    def tokens(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """Compute all tokens (B, 17, 12) of prepared pixels (B, 32, 32, 3)."""
        w = {name: weight.astype(float) for name, weight in self.weights.items()}

        def norm(x: NDArray[Any], name: str) -> NDArray[Any]:
            x = x - x.mean(axis=-1, keepdims=True)
            x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6)
            return np.asarray(x * w[f"{name}_x"] + w[f"{name}_y"])

        n, d = len(pixels), self.width // self.heads
        patches = pixels.reshape(n, 4, 8, 4, 8, 3)
        tokens = np.einsum("nyaxbc,wcab->nyxw", patches, w["patches"]).reshape(n, 16, self.width)
        x = np.concatenate([np.repeat(w["token"], n, axis=0), tokens], axis=1) + w["positions"]
        q, k, v = np.moveaxis((norm(x, "one") @ w["qkv"]).reshape(n, 17, 3, self.heads, d), 2, 0)
        shares = np.exp(np.einsum("nthd,nshd->nhts", q, k) / np.sqrt(d))
        shares /= shares.sum(axis=-1, keepdims=True)
        y = x + np.einsum("nhts,nshd->nthd", shares, v).reshape(n, 17, -1) @ w["mix"]
        z = y + np.maximum(norm(y, "two") @ w["widen"], 0) @ w["narrow"]
        return norm(z, "end")
