"""What the workers of a process share: the model, opened when first needed, and checksums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from staa_cli.files import sha256_of
from staa_cli.jobs.checksums import Checksums
from staa_cli.jobs.copies import cache_folder
from staa_cli.models.catalog.manifests import read_manifests
from staa_cli.models.checkpoints.labels import read_labels
from staa_cli.schema import ModelInput, Output

if TYPE_CHECKING:
    from staa_cli.jobs.explainer import Explainer
    from staa_cli.jobs.run import Request
    from staa_cli.models.catalog.hub import Announce


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Properties of a model that determine what has to be done."""

    input: ModelInput
    labels: tuple[str, ...]
    weights_sha256: str
    output: Output


class Resources:
    """What the workers of a process share, which may run in several threads.

    torch is imported only when the model is opened: checking a folder in which everything is
    finished takes only the time of its checksums.

    Args:
        request: options of all jobs.
        at_once: number of threads that run jobs on a CPU.
    """

    def __init__(self, request: Request, at_once: int = 1) -> None:
        self.checksums = Checksums(cache_folder(request.settings), request.verify)
        self._request, self._at_once = request, at_once
        self._opening = RLock()
        self._explainer: Explainer | None = None
        self._facts: ModelFacts | None = None
        self._problem: Exception | None = None

    @property
    def is_on_gpu(self) -> bool:
        """Whether the model is open, on something else than the CPU."""
        return self._explainer is not None and self._explainer.model.device.type != "cpu"

    def explainer(self, on_opening: Callable[[], None], announce: Announce) -> Explainer:
        """The explainer. The first call opens the model; if that fails, it fails for all.

        Args:
            on_opening: called before the model is opened.
            announce: called with one line about what is going to be downloaded.

        Raises:
            UsageError, UnavailableError: see `Explainer`.
        """
        with self._opening:
            if self._problem is not None:
                raise self._problem
            if self._explainer is None:
                on_opening()
                from staa_cli.jobs.explainer import Explainer

                try:
                    self._explainer = Explainer(self._request, announce, self._at_once)
                except Exception as error:
                    self._problem = error
                    raise
            return self._explainer

    def model_facts(self, explainer: Callable[[], Explainer]) -> ModelFacts:
        """From the manifest of a bundled model; a checkpoint has to be opened.

        Args:
            explainer: opens the model.

        Raises:
            UsageError, UnavailableError: see `Explainer`, or the labels are not the model's.
        """
        with self._opening:
            if self._facts is None:
                self._facts = self._bundled() or _facts_of(explainer())
            return self._facts

    def _bundled(self) -> ModelFacts | None:
        settings = self._request.settings
        manifest = read_manifests().get(settings.model)
        if manifest is None or not manifest.weights.is_file():
            return None
        labels = manifest.labels
        if settings.labels is not None:
            labels = read_labels(Path(settings.labels), len(labels))
        return ModelFacts(manifest.input, labels, sha256_of(manifest.weights), manifest.output)


def _facts_of(explainer: Explainer) -> ModelFacts:
    model = explainer.model
    return ModelFacts(model.input, model.labels, model.info.weights_sha256, model.info.output)
