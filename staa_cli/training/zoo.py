"""Makes the benchmark's zoo: ``python -m staa_cli.training.zoo RUNS``.

Small models of every layout that were trained with one label per clip only, like the models of
users. Choices between methods use all of them. In the model whose attention is kept uniform,
attention is known to be uninformative.

Two models train side by side on two cores, each with one thread; with ``OMP_NUM_THREADS=1`` in the
environment, numpy does not use more either, which takes half the time.

The repository's folder ``zoo`` has each finished model: its weights in half precision, its
manifest, and a card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from staa_cli.models.catalog.zoo import ENOUGH, ZOO, how_made, zoo_folder, zoo_manifest
from staa_cli.models.checkpoints.sources import open_bundled
from staa_cli.schema import RandomMasks
from staa_cli.synthetic.events import FRAMES, INTERVAL_S
from staa_cli.synthetic.scenes import SMALL_VIEW, STATES
from staa_cli.training.card import accuracy, card, lead_paragraphs, start_paragraphs
from staa_cli.training.export import held_out, read_run, write_weights
from staa_cli.training.recipes import EASY, LONG, Recipe, Stage
from staa_cli.training.train import MEAN, STD, train

SIZE_PX = 64
LONG_STATES = replace(STATES, name="long states", event_share=(0.35, 0.6))
WHOLE_STATES = replace(STATES, name="whole states", event_share=(0.8, 1.0))
LONELY_STATES = replace(WHOLE_STATES, name="lonely states", circling=(0, 0))
LEAD = (0.1, 0.45)
"""Joint attention learns almost nothing in this time without an attention prior at first. It
decreases slowly, because a model that reads one token may otherwise forget what it has learned."""


@dataclass(frozen=True)
class Member:
    """A model of the zoo.

    Args:
        what: its description, for its card.
        family: of its architecture.
        recipe: of its training.
        dataset: for its evaluation.
    """

    what: str
    family: str
    recipe: Recipe
    dataset: str = "events-small"


def _events(steps: int) -> tuple[Stage, ...]:
    """Long events first, then easy ones, then those that motion does not tell."""
    long, easy = round(0.2 * steps), round(0.2 * steps)
    return (
        Stage(long, SIZE_PX, LONG),
        Stage(easy, SIZE_PX, EASY),
        Stage(steps - long - easy, SIZE_PX, SMALL_VIEW),
    )


def _states(steps: int) -> tuple[Stage, ...]:
    """Events in nearly all frames first: from a few of them, a mean of logits teaches little."""
    part = round(0.2 * steps)
    return (
        *(Stage(part, SIZE_PX, each) for each in (LONELY_STATES, WHOLE_STATES, LONG_STATES)),
        Stage(steps - 3 * part, SIZE_PX, STATES),
    )


def _divided(
    what: str, steps: int = 3000, *, seed: int = 0, uniform: bool = False, **model: Any
) -> Member:
    arguments = {"img_size": SIZE_PX, "depth": 3, **model}
    recipe = _label_only("timesformer_tiny_events", _events(steps), arguments, seed=seed)
    return Member(what, "timesformer", replace(recipe, uniform=uniform))


def _joint(
    what: str, family: str, *, seed: int = 0, lead: tuple[float, float] = LEAD, **model: Any
) -> Member:
    """Joint attention over tubelets of two frames, as published models have them."""
    tubelets = {"img_size": SIZE_PX, "num_frames": 2 * FRAMES, "tubelet_size": 2}
    arguments = {**tubelets, "depth": 3, **model}
    recipe = _label_only(f"{family}_tiny_events", _events(4000), arguments, seed=seed)
    return Member(what, family, replace(recipe, frames=2 * FRAMES, lead=lead))


def _extended(member: Member, steps: int) -> Member:
    """A member with more steps of its last stage: its first ones remain as they were."""
    recipe = member.recipe
    last = replace(recipe.stages[-1], steps=steps)
    share = recipe.steps / (recipe.steps + steps)
    longer = replace(
        recipe,
        stages=(*recipe.stages, last),
        restarts=(*recipe.restarts, recipe.steps),
        lead=(recipe.lead[0] * share, recipe.lead[1] * share),
    )
    return replace(member, recipe=longer)


def _masked(name: str) -> Member:
    """A member that has also seen clips with missing tokens, for F-Fidelity."""
    member = MEMBERS[name]
    recipe = replace(
        member.recipe,
        stages=(Stage(800, SIZE_PX, SMALL_VIEW),),
        learning_rate=5e-4,
        warmup=50,
        lead=(0.0, 0.0),
        start=ZOO + name,
        random_masks=RandomMasks(0.5, "blur"),
    )
    return replace(member, what=f"{member.what}, trained on with random masks", recipe=recipe)


def _framewise(what: str, pool: str) -> Member:
    recipe = _label_only(
        "framewise_tiny_events", _states(2500), {"global_pool": pool, "fc_norm": False}
    )
    member = Member(what, "framewise", replace(recipe, labels=STATES.labels), STATES.name)
    return _extended(member, 2500)


def _label_only(
    arch: str, stages: tuple[Stage, ...], model: Mapping[str, Any], seed: int = 0
) -> Recipe:
    return Recipe(
        stages, seed=seed, token_loss=0.0, muon=1.5, arch=arch, model=tuple(model.items())
    )


MEMBERS: dict[str, Member] = {
    "divided-cls": _extended(
        _divided("A TimeSformer with divided attention, read by its class token", 4000), 3000
    ),
    "joint-cls": _joint("A ViViT with joint attention, read by its class token", "vivit"),
    "joint-mean": _joint(
        "A VideoMAE with joint attention and four blocks, read by the mean of tokens",
        "videomae",
        lead=(0.1, 0.3),
        depth=4,
    ),
    "joint-token0": _joint(
        "A VideoMAE with joint attention, read by its token 0", "videomae", pooling="token"
    ),
    "pooler": _joint("A V-JEPA 2 with joint attention, read by an attentive pooler", "vjepa2"),
    "framewise-cls": _framewise("An image ViT frame by frame, read by its class tokens", "token"),
    "framewise-mean": _framewise("An image ViT frame by frame, read by the mean of tokens", "avg"),
    "divided-cls-b": _extended(
        _divided(
            "As divided-cls, from another seed, wider, with two blocks",
            seed=1,
            embed_dim=112,
            num_heads=4,
            depth=2,
        ),
        3000,
    ),
    "joint-mean-b": _joint(
        "As joint-mean, from another seed, wider, with three blocks",
        "videomae",
        seed=1,
        embed_dim=108,
    ),
    "divided-uniform": _divided(
        "As divided-cls, with attention that is kept uniform and therefore uninformative",
        uniform=True,
    ),
}
MEMBERS |= {f"{name}-masked": _masked(name) for name in ("divided-cls", "joint-mean")}
"""The models of the zoo by name; `catalog.zoo.RECIPES` has the same names."""


def export(
    name: str, run: Path, folder: Path | None = None, clips: int = 1000, seed: int = 0
) -> float:
    """Write a finished run's weights, manifest, and card; returns the held-out accuracy.

    Args:
        name: of a member.
        run: its training run.
        folder: of the zoo.
        clips: number of held-out clips of its last setting.
        seed: of those clips.
    """
    member, folder = MEMBERS[name], folder or zoo_folder()
    weights, facts = read_run(run)
    recipe = facts.recipe
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(weights, folder / f"{name}.safetensors")
    manifest = _manifest(name, member)
    write_json(folder / f"{name}.json", manifest)
    module, _ = open_bundled(zoo_manifest(ZOO + name, folder))
    *easier, last = recipe.stages
    others = [stage for stage in easier if stage.name != last.name]
    counts = held_out(recipe, [last, *others], module, clips, seed)
    share = accuracy(counts[last.name])
    write_json(folder / f"{name}.json", manifest | {"accuracy": round(share, 4)})
    text = card(
        ZOO + name,
        [
            f"{member.what}.",
            "It was trained with one label per clip only, on frames of "
            f"{SIZE_PX} x {SIZE_PX} pixels.",
            *lead_paragraphs(recipe),
            *start_paragraphs(recipe),
            *(
                []
                if share >= ENOUGH
                else [f"Its accuracy is below {ENOUGH}, so it is left out of means over the zoo."]
            ),
        ],
        f"`{how_made(name)}`",
        facts,
        counts,
        seed,
    )
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return share


def _manifest(name: str, member: Member) -> dict[str, Any]:
    recipe = member.recipe
    masks = recipe.random_masks
    return {
        "family": member.family,
        "arch": recipe.arch,
        "kwargs": dict(recipe.model),
        "labels": recipe.labels,
        "background": 0,
        "input": {
            "frames": recipe.frames,
            "size": (SIZE_PX, SIZE_PX),
            "stride": 1,
            "rate": recipe.frames / (FRAMES * INTERVAL_S),
            "mean": (MEAN, MEAN, MEAN),
            "std": (STD, STD, STD),
            "resize": SIZE_PX,
        },
        "license": "Apache-2.0",
        "origin": how_made(name),
        "note": "of the benchmark's zoo: knows synthetic events only",
        "dataset": member.dataset,
        **({"random_masks": asdict(masks)} if masks else {}),
    }


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write a manifest."""
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def main(
    runs: Annotated[Path, typer.Argument(help="Folder for the runs, one folder per model.")],
    names: Annotated[list[str] | None, typer.Argument(help="Which models; all by default.")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Time limit per model; can be continued later.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "",
    threads: Annotated[int, typer.Option(help="Threads of the CPU; one wastes the least.")] = 1,
) -> None:
    """Train and export models of the zoo; the same command continues from the last checkpoints."""
    torch.set_num_threads(threads)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    for name in names or MEMBERS:
        if name not in MEMBERS:
            raise typer.BadParameter(f"no model {name!r}; there are {', '.join(MEMBERS)}")
        if train(MEMBERS[name].recipe, runs / name, device=device, minutes=minutes):
            typer.echo(f"{name}: {export(name, runs / name):.4f} of held-out clips")
        else:
            typer.echo(f"{name}: stopped; the same command continues from here")


if __name__ == "__main__":
    typer.run(main)
