import numpy as np

from staa_cli.benchmark.datasets import Dataset, Question, Sample, Split
from staa_cli.models.load import LoadedModel


class Ramps(Dataset):
    """Clips in which the light comes from the left, without ground truth."""

    count = 3

    def __init__(self, name: str, model: LoadedModel, seed: int, split: Split) -> None:
        self.name, self._input = name, model.input

    def sample(self, number: int) -> Sample:
        height, width = self._input.size
        ramp = np.linspace(255 // (1 + number), 0, width).astype(np.uint8)
        frames = np.broadcast_to(ramp[:, None], (self._input.frames, height, width, 3))
        return Sample(frames.copy(), (Question(),))
