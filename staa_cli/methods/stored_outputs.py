"""Storage for the outputs of clips until the class is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from tempfile import SpooledTemporaryFile, gettempdir

import numpy as np
import torch

from staa_cli.errors import OutputError
from staa_cli.methods.base import Method, MethodOutput
from staa_cli.schema import Float32

IN_MEMORY = 1 << 24
"""Bytes kept in memory; beyond that, a temporary file is used."""

_TENSORS = ("values", "shares", "parts")


class StoredOutputs:
    """Method outputs that serve every class, for clips of one shape, in order of arrival.

    One output of a large model takes some megabytes, and a long video has a thousand clips. Above
    a limit they are stored in an unnamed temporary file, so that memory does not grow with the
    video, and nothing is left behind however the process ends.
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115, it is closed by `__exit__`
        self._places: dict[int, int] = {}
        self._shapes: dict[str, torch.Size] = {}
        self._rows: torch.Tensor | None = None

    def __enter__(self) -> StoredOutputs:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):  # a full disk refuses buffered writes
            self._file.close()

    def add(self, numbers: Sequence[int], reading: MethodOutput) -> None:
        """Store the output of a batch of clips with these numbers.

        Raises:
            OutputError: the disk is full.
        """
        tensors = {name: getattr(reading, name) for name in _TENSORS}
        present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        self._shapes = {name: tensor.shape[1:] for name, tensor in present.items()}
        if self._rows is None and reading.rows is not None:
            self._rows = reading.rows.cpu()  # of the model, the same for every clip
        try:
            for row, number in enumerate(numbers):
                self._places[number] = self._file.tell()
                for tensor in present.values():
                    self._file.write(tensor[row].float().cpu().contiguous().numpy())
        except OSError as error:
            raise OutputError(
                f"cannot store the maps of all classes in {gettempdir()}: "
                f"{(error.strerror or str(error)).lower()}",
                "choose a class with --class, or set TMPDIR to another folder",
            ) from error

    def __getitem__(self, number: int) -> MethodOutput:
        """The output of one clip, as a batch of one."""
        self._file.seek(self._places[number])
        tensors = {name: self._next(shape) for name, shape in self._shapes.items()}
        return MethodOutput(
            tensors["values"],
            shares=tensors.get("shares"),
            parts=tensors.get("parts"),
            rows=self._rows,
        )

    def _next(self, shape: torch.Size) -> torch.Tensor:
        stored = bytearray(self._file.read(4 * shape.numel()))
        return torch.frombuffer(stored, dtype=torch.float32).reshape(1, *shape)

    def maps(self, method: Method, classes: Iterable[int]) -> dict[int, Float32]:
        """Classes to their maps of all clips [C, T', h, w], each in its own array."""
        shape = len(self._places), *self._shapes["values"]
        maps = {index: np.empty(shape, np.float32) for index in classes}
        for number in self._places:
            reading = self[number]
            for index, rows in maps.items():
                rows[number] = method.for_class(reading, torch.tensor([index]))[0].numpy()
        return maps
