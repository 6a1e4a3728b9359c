"""Refuse ONNX graphs that take too long or too much memory.

A file of a few bytes can ask for 2**62 repetitions or for a value of a terabyte, and OpenVINO
cannot be interrupted.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

from dogsim.errors import DogsimError

LOOPS = ("Loop", "TensorIterator")  # the graph determines how often they repeat
MAX_NUMBERS = 2**29  # of a value, for one image: four bytes each, and eight images at once


def check_cost(graph: Any, file: Path) -> None:
    """Raise `DogsimError` if a graph of known image size has loops or very large values."""
    for operation in _operations(graph):
        if operation.get_type_name() in LOOPS:
            raise DogsimError(
                f"The features of {file} are computed in a loop. Expected a network without loops: "
                "export only the image part of the network."
            )
        for value in operation.outputs():
            shape = value.get_partial_shape()
            sides = shape if shape.rank.is_static else ()
            if prod(side.get_length() for side in sides if side.is_static) > MAX_NUMBERS:
                raise DogsimError(
                    f"{file} computes a value of {shape} numbers for one image. Expected "
                    f"{MAX_NUMBERS:,} at most: give a smaller image size."
                )


def _operations(graph: Any) -> Iterator[Any]:
    """Yield the operations of a graph, and of the branches of its conditions."""
    for operation in graph.get_ops():
        yield operation
        if operation.get_type_name() == "If":
            yield from _operations(operation.get_then_body())
            yield from _operations(operation.get_else_body())
