"""Ray actors: how many there are, and what each of them needs."""

from __future__ import annotations

from typing import Any

import pytest

from staa_cli.config.settings import Settings
from staa_cli.jobs.engines.ray_actors import Actors, actors_for


def node(cpus: int, gpus: int = 0, alive: bool = True) -> dict[str, Any]:
    resources = {"CPU": float(cpus), "GPU": float(gpus), "memory": 1e9}
    return {"Alive": alive, "Resources": {name: n for name, n in resources.items() if n}}


@pytest.mark.parametrize(
    ("nodes", "settings", "count", "most", "wanted"),
    [
        # cores / threads of each node
        ([node(16), node(10)], {}, None, None, Actors(6, 4, 4, 0)),
        ([node(16), node(10)], {"threads": 8}, None, None, Actors(3, 8, 8, 0)),
        ([node(2)], {}, None, None, Actors(1, 2, 2, 0)),
        ([node(16), node(16, alive=False)], {}, None, None, Actors(4, 4, 4, 0)),
        # as many as are asked for have the most threads with which all of them fit
        ([node(16), node(16)], {}, 16, None, Actors(16, 2, 2, 0)),
        ([node(16), node(16)], {}, 2, None, Actors(2, 16, 16, 0)),
        ([node(10), node(10)], {}, 3, None, Actors(3, 5, 5, 0)),
        ([node(16), node(2)], {}, 3, None, Actors(3, 5, 5, 0)),
        ([node(2)], {}, 4, None, Actors(4, 1, 1, 0)),
        ([node(0)], {}, None, None, Actors(1, 1, 1, 0)),
        # not more than there are jobs
        ([node(16)], {}, None, 2, Actors(2, 8, 8, 0)),
        ([node(16)], {}, None, 0, Actors(1, 16, 16, 0)),
        # one per GPU, unless the model runs on the CPU
        ([node(16, 4), node(32)], {}, None, None, Actors(4, 4, 4, 1)),
        ([node(16, 4), node(8, 1)], {"device": "cuda"}, None, None, Actors(5, 4, 4, 1)),
        ([node(16, 4)], {"device": "cpu"}, None, None, Actors(4, 4, 4, 0)),
        ([node(2, 4)], {}, None, None, Actors(4, 1, 1, 1)),
    ],
    ids=str,
)
def test_actors_have_the_room_that_the_cluster_has(
    nodes: list[dict[str, Any]],
    settings: dict[str, Any],
    count: int | None,
    most: int | None,
    wanted: Actors,
) -> None:
    assert actors_for(nodes, Settings(**settings), count, most, shared=True) == wanted


def test_on_a_cluster_of_the_call_nothing_waits_for_room() -> None:
    assert actors_for([node(2)], Settings(), 4, None, shared=False) == Actors(4, 1, 0, 0)
    three = actors_for([node(8, 1)], Settings(), 3, None, shared=False)
    assert three.cpus == 0
    assert 0.3 < three.gpus <= 1 / 3
