"""Steps as CUDA graphs: where one shape of batches prevails, a step's thousand launches become two.

A graph runs the same kernels on the same numbers. Each is compared with the operations one by one before it is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

TOLERANCE = 1e-5  # of the greatest value; sums whose order is up to the GPU differ in the last bits
AFTER = 10  # calls with a shape before it is captured: by then kernels are chosen and FFTs planned
OWN = ("lra.", "torch.")  # modules known to compute nothing that depends on more than tensors and their shapes

Call = Callable[[Tensor, Tensor], Tensor]


class Captured(NamedTuple):
    """A graph, and the memory of the weights it was made with."""

    call: Call
    places: tuple[int, ...]


class Graphs:
    """A model (x, lengths, rate) -> outputs that is replayed, forward and backward, where that is possible.

    A graph is made for a shape once it has come `AFTER` times and in half of the calls, for training and for
    evaluation apart. Gradients lie in one place from step to step: they cannot be accumulated over several.
    """

    def __init__(self, model: nn.Module, note: Callable[[str], None]) -> None:
        """`note` hears if a graph cannot be made; the model then runs as ever."""
        self.model, self.note = model, note
        self._usable = all(type(module).__module__.startswith(OWN) for module in model.modules())
        self._seen: Counter[tuple] = Counter()
        self._captured: dict[tuple, Captured] = {}

    def __call__(self, x: Tensor, lengths: Tensor, rate: float) -> Tensor:
        if self._usable and x.device.type == "cuda":
            key = (self.model.training, x.shape, rate)
            places = tuple(tensor.data_ptr() for tensor in self._weights())
            prevails, captured = self._prevails(key), self._captured.get(key)
            if captured is None or captured.places != places:
                captured = self._capture(key, x, lengths, places) if prevails else None
            if captured is not None:
                return captured.call(x, lengths)
        return self.model(x, lengths, rate)

    def _prevails(self, key: tuple) -> bool:
        self._seen[key] += 1
        calls = sum(count for (training, *_), count in self._seen.items() if training == key[0])
        return self._seen[key] > AFTER and 2 * self._seen[key] >= calls

    def _capture(self, key: tuple, x: Tensor, lengths: Tensor, places: tuple[int, ...]) -> Captured | None:
        make = _with_gradient if torch.is_grad_enabled() else _without_gradient
        model = _AtRate(self.model, key[-1])
        try:
            with self._unchanged(x.device):
                call = make(model, x.clone(), lengths.clone())
            expected, found = (self._results(function, x, lengths) for function in (model, call))
            if not all(_same(*pair) for pair in zip(expected, found, strict=True)):
                raise RuntimeError("its results are not those of the same operations one by one.")
        except RuntimeError as error:  # out of memory, or an operation that cannot be captured
            self._usable = False
            self.note(f"No CUDA graph could be made, so steps are slower: {str(error).splitlines()[0]}")
            return None
        self._captured[key] = Captured(call, places)
        return self._captured[key]

    def _results(self, function: Call, x: Tensor, lengths: Tensor) -> list[Tensor]:
        """Outputs, running statistics, random numbers used and, in training, gradients of a call."""
        with self._unchanged(x.device):
            outputs = function(x, lengths)
            found = [outputs.detach().clone(), torch.cuda.get_rng_state(x.device)]
            found += [buffer.clone() for buffer in self.model.buffers()]
            if torch.is_grad_enabled():
                wanted = [p for p in self.model.parameters() if p.requires_grad]
                gradients = torch.autograd.grad(outputs.sum(), wanted, allow_unused=True)
                found += [g.clone() for g in gradients if g is not None]
            return found

    def _weights(self) -> Iterator[Tensor]:
        yield from self.model.parameters()
        yield from self.model.buffers()

    @contextmanager
    def _unchanged(self, device: torch.device) -> Iterator[None]:
        """Undo what the calls before a capture do to running statistics and random numbers."""
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        state = torch.cuda.get_rng_state(device)
        try:
            yield
        finally:
            for buffer, value in buffers:
                buffer.copy_(value)
            torch.cuda.set_rng_state(state, device)


def _same(expected: Tensor, found: Tensor) -> bool:
    if not expected.is_floating_point():
        return torch.equal(expected, found)
    return bool((expected - found).abs().max() <= TOLERANCE * expected.abs().max())


class _AtRate(nn.Module):
    """The model at one rate: PyTorch captures modules of tensors alone."""

    def __init__(self, model: nn.Module, rate: float) -> None:
        super().__init__()
        self.model, self.rate = model, rate
        self.training = model.training

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.model(x, lengths, self.rate)


def _with_gradient(model: nn.Module, x: Tensor, lengths: Tensor) -> Call:
    """Forward and backward as a graph each."""
    # It gives what it was given, a module; the stub allows for functions of anything.
    return torch.cuda.make_graphed_callables(model, (x, lengths), allow_unused_input=True)  # type: ignore[return-value]


def _without_gradient(model: nn.Module, x: Tensor, lengths: Tensor) -> Call:
    """The forward pass as a graph."""
    side, main = torch.cuda.Stream(x.device), torch.cuda.current_stream(x.device)
    side.wait_stream(main)
    with torch.cuda.stream(side):
        model(x, lengths)
    main.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = model(x, lengths)

    def replay(new: Tensor, new_lengths: Tensor) -> Tensor:
        x.copy_(new)
        lengths.copy_(new_lengths)
        graph.replay()
        return outputs.clone()

    return replay
