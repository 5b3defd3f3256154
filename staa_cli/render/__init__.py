"""Explanation + frames -> pictures: annotated frames, the plot, the storyboard, the GIF."""

from staa_cli.render.animation import gif, gif_indices
from staa_cli.render.colour import COLORMAPS
from staa_cli.render.painter import Painter
from staa_cli.render.plot import plot
from staa_cli.render.storyboard import storyboard, storyboard_indices

__all__ = [
    "COLORMAPS",
    "Painter",
    "gif",
    "gif_indices",
    "plot",
    "storyboard",
    "storyboard_indices",
]
