"""Video in and out: probe, exact frames, annotated copies."""

from staa_cli.video.facts import probe
from staa_cli.video.pixels import YuvPlanes
from staa_cli.video.reader import iter_frames
from staa_cli.video.table import DecodeReport
from staa_cli.video.transcode import annotate
from staa_cli.video.writer import write_video

__all__ = ["DecodeReport", "YuvPlanes", "annotate", "iter_frames", "probe", "write_video"]
