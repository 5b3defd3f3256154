"""What a start imports: nothing that the common path has no use for."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_videos import film

from staa_cli.cli.app import main
from staa_cli.models.architectures import ARCHITECTURES

NEVER = {
    *("timm", "torchvision", "torch._dynamo", "torch._inductor"),
    *("sympy", "transformers", "matplotlib", "huggingface_hub", "captum", "scipy", "sklearn"),
}
CLI = "import sys; from staa_cli.cli.app import run; run(sys.argv[1:])"
LOAD = "import staa_cli; staa_cli.load_model('tiny-events')"


def imported(code: str, *arguments: object) -> set[str]:
    """Names of all modules that a process has after some code."""
    code = f"{code}\nimport sys; print('modules:', *sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    *_, last = done.stdout.splitlines()
    assert last.startswith("modules:"), done.stderr
    return set(last.split()[1:])


@pytest.fixture(scope="module")
def never() -> set[str]:
    """Names of modules that no start imports, but for what this torch imports by itself."""
    return NEVER - imported("import torch")


def test_a_bundled_model_loads_with_torch_alone_and_sets_no_variable(never: set[str]) -> None:
    compare = "import os, torch; before = dict(os.environ)\n{}\nassert dict(os.environ) == before"
    modules = imported(compare.format(LOAD))
    assert "torch" in modules
    assert modules.isdisjoint({*never, "av"})


def test_a_video_is_explained_without_what_only_few_need(tmp_path: Path, never: set[str]) -> None:
    arguments = ("explain", film(tmp_path / "walk.mp4"), "-q", "-o", tmp_path)
    modules = imported(CLI, *arguments)
    assert (tmp_path / "walk" / "annotated.mp4").is_file()
    assert {"torch", "av"} < modules
    assert modules.isdisjoint(never)
    again = imported(CLI, *arguments)  # finished: there is nothing to do
    assert again.isdisjoint({*NEVER, "torch"})


@pytest.mark.slow
def test_a_check_needs_no_more(tmp_path: Path, never: set[str]) -> None:
    asked = ("--model", "test_timesformer", "--faithfulness", "--no-annotated", "-o", tmp_path)
    modules = imported(CLI, "explain", film(tmp_path / "walk.mp4"), *asked)
    assert (tmp_path / "walk" / "report.json").is_file()
    assert modules.isdisjoint(never - {"matplotlib"})


@pytest.mark.parametrize(
    "arch", ["test_timesformer", pytest.param("test_videomae", marks=pytest.mark.slow)]
)
def test_a_checkpoint_is_inspected_without_timm(tmp_path: Path, arch: str, never: set[str]) -> None:
    torch.manual_seed(0)
    module = ARCHITECTURES.get(arch).build()
    save_file(module.state_dict(), tmp_path / "w.safetensors")
    modules = imported(CLI, "models", "inspect", tmp_path / "w.safetensors", "--arch", arch)
    assert "torch" in modules
    assert modules.isdisjoint(never)


@pytest.mark.parametrize(("given", "used"), [(None, "passive"), ("active", "active")])
def test_threads_of_the_command_do_not_spin_unless_somebody_says_so(
    monkeypatch: pytest.MonkeyPatch, given: str | None, used: str
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # so that it is put back
    monkeypatch.delenv("OMP_WAIT_POLICY")
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    monkeypatch.setattr(sys, "argv", ["staa", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert os.environ["OMP_WAIT_POLICY"] == used


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others free memory in their own way")
@pytest.mark.parametrize(("given", "kept"), [({}, True), ({"MALLOC_TRIM_THRESHOLD_": "1"}, False)])
def test_memory_that_the_command_frees_is_used_again_unless_somebody_says_so(
    given: dict[str, str], kept: bool
) -> None:
    code = """
import ctypes, resource
from staa_cli.cli.process import keep_freed_memory
keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for count in range(20):
    if count == 1:
        before = faults()
    memory = libc.malloc(20 << 20)
    ctypes.memset(memory, 1, 20 << 20)
    libc.free(memory)
print((faults() - before) * resource.getpagesize() / (19 * (20 << 20)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **given},
    )
    fetched = float(done.stdout)  # pages that were fetched anew, of those that were written
    assert fetched < 0.1 if kept else fetched > 0.9
