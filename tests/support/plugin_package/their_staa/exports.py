from __future__ import annotations

from collections.abc import Sequence

from staa_cli.results.exports.base import Export, ExportOptions, Result


class PlayList(Export):
    """The videos of a class, in the order of their confidence."""

    summary = "a playlist"

    @classmethod
    def files(cls, chosen: ExportOptions) -> Sequence[str]:
        return ["videos.m3u"]

    def add(self, result: Result) -> None:
        self.found = [*getattr(self, "found", []), result]

    def finish(self) -> None:
        self.found.sort(key=lambda result: -result.report.prediction.target.score)
        names = [str(result.video_file(None)) for result in self.found]
        self.paths["videos.m3u"].write_text("\n".join(names) + "\n")
