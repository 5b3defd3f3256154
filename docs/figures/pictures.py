"""Makes the picture in the README from a sample video and prints its Markdown line.

python docs/figures/pictures.py
"""

from __future__ import annotations

from pathlib import Path

from staa_cli import explain_video, load_model
from staa_cli.config.settings import RenderSettings
from staa_cli.render.storyboard import storyboard, storyboard_indices
from staa_cli.video.decode import iter_frames

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = "shake"


def main() -> None:
    """Write storyboard.png to the folder of this file."""
    explanation = explain_video(ROOT / "sample_videos" / f"{SAMPLE}.mp4", load_model("tiny-events"))
    frames = dict(iter_frames(explanation.video, storyboard_indices(explanation)))
    target = Path(__file__).parent / "storyboard.png"
    storyboard(explanation, frames, target, RenderSettings())
    print(f"![{SAMPLE}: the heat sits on the actor during its event]({target.relative_to(ROOT)})")


if __name__ == "__main__":
    main()
