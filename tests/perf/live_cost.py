"""The delay of a live stream: ``python tests/perf/live_cost.py [--seconds 600]``.

A camera of 640x360 pixels at 30 frames a second, whose frames carry a clock, over TCP into
`staa stream` with the bundled model, or with random weights of an ``--arch``; its annotated output
is decoded and the clock read back. Run alone. Prints a Markdown table; ``--json`` prints every
number.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shutil import which
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray
from start_cost import machine

SUPPORT = Path(__file__).resolve().parents[1] / "support"
sys.path.insert(0, str(SUPPORT))
RATE = 30
START_S = 2.0
"""Of the stream, in which the first frames, which came while it was opened, are caught up."""
OVERLAY_S, SHOWN_S, GROWTH = 0.150, 0.500, 1.05


class Sample(NamedTuple):
    """What a process holds at one time."""

    memory_kb: int
    threads: int
    files: int


def held(process: int) -> Sample:
    """Resident memory, threads, and open files of a process on Linux."""
    fields = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if ":" in line
    )
    files = len(list(Path(f"/proc/{process}/fd").iterdir()))
    return Sample(int(fields["VmRSS"].split()[0]), int(fields["Threads"]), files)


def random_weights(arch: str, folder: Path) -> list[str]:
    """Options of the command for a checkpoint with random weights."""
    from safetensors.torch import save_file

    from staa_cli.models.checkpoints.sources import open_random

    module, _ = open_random(arch)
    file = folder / "random.safetensors"
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, file)
    return ["--model", str(file), "--arch", arch]


@contextmanager
def browser(address: str) -> Iterator[None]:
    """A context in which Chromium shows a page."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = which("chromium") or ""
    for argument in ("headless=new", "no-sandbox", "disable-gpu"):
        options.add_argument(f"--{argument}")
    service = webdriver.chrome.service.Service(which("chromedriver"))
    with webdriver.Chrome(options=options, service=service) as chrome:
        chrome.get(address)
        yield


def read_back(stream: Any) -> tuple[list[float], list[float]]:
    """Ages of the frames of an encoded stream by the clock in their pixels, and their times."""
    import clocked

    ages, times = [], []
    reader = os.fdopen(os.dup(stream.fileno()), "rb", buffering=0)
    with av.open(reader, "r", format="mpegts", options={"probesize": "5000"}) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            now_s = time.monotonic()
            picture = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            ages.append(clocked.age_s(picture, now_s))
            times.append(float(frame.time or 0))
    return ages, times


def watched(process: subprocess.Popen[bytes], samples: list[Sample]) -> threading.Thread:
    """A thread that takes a sample of a process each second, until it ends."""

    def watch() -> None:
        while process.poll() is None:
            with suppress(OSError, KeyError):  # it has just ended
                samples.append(held(process.pid))
            time.sleep(1.0)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def measured(seconds: float, arch: str | None, page: bool, more: list[str]) -> dict[str, Any]:
    """Stream a camera for some seconds: the summary, ages in the pixels, and what was held."""
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        options = [*([] if arch is None else random_weights(arch, folder)), *more]
        lines = folder / "lines.ndjson"
        clock = [sys.executable, str(SUPPORT / "clocked.py"), "--port", "0"]
        camera = subprocess.Popen([*clock, "--seconds", str(seconds)], stdout=subprocess.PIPE)
        assert camera.stdout is not None
        source = f"tcp://127.0.0.1:{int(camera.stdout.readline())}"
        command = [sys.executable, "-m", "staa_cli", "stream", source, "--reconnect", "0"]
        command += ["-o", "-", "--ndjson", str(lines), *options, *(["--serve", "0"] * page)]
        stream = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert stream.stdout is not None
        assert stream.stderr is not None
        if page:
            address = stream.stderr.readline().decode().removeprefix("live page:").strip()
            stack.enter_context(browser(address))
        threading.Thread(target=stream.stderr.read, daemon=True).start()
        watching = watched(stream, samples)
        ages, times = read_back(stream.stdout)
        code = stream.wait(60)
        watching.join()
        camera.wait(60)
        assert code == 0, f"the stream ended with {code}"
        rows = [json.loads(line) for line in lines.read_text().splitlines()]
    begun = np.array(times) - times[0] >= START_S
    gaps = np.diff(np.array(times))[begun[1:]]
    settled = np.array(ages)[begun]
    sixth = len(settled) // 6
    return {
        "summary": rows[-1],
        "ages": [float(np.quantile(settled, share)) for share in (0.5, 0.95, 0.99, 1.0)],
        "later": late(settled[-sixth:]) / late(settled[:sixth]),
        "missing": int(np.round(gaps * RATE - 1).sum()),
        "samples": samples,
    }


def late(ages: NDArray[np.float64]) -> float:
    """The P95 of ages in seconds."""
    return float(np.quantile(ages, 0.95))


def growth(samples: list[Sample]) -> tuple[float, int, int]:
    """Memory at the end over memory after a sixth, and how many threads and files were added."""
    first, last = samples[len(samples) // 6 :][:5], samples[-6:-1]
    memory = [statistics.median(sample.memory_kb for sample in part) for part in (first, last)]
    return memory[1] / memory[0], *(
        round(statistics.median(getattr(sample, name) for sample in last))
        - round(statistics.median(getattr(sample, name) for sample in first))
        for name in ("threads", "files")
    )


def rows(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Delays, drops, and growth of a stream: what, value, and limit."""
    summary = found["summary"]
    delay, (memory, threads, files) = summary["delay"], growth(found["samples"])
    overlay, output, maps = (
        delay[stage] for stage in ("capture to overlay", "capture to written", "capture to maps")
    )

    def ms(row: dict[str, float]) -> str:
        return f"{1000 * row['p50']:.0f} / {1000 * row['p95']:.0f} / {1000 * row['p99']:.0f} ms"

    pixels = dict(zip(("p50", "p95", "p99"), found["ages"], strict=False))
    shown = delay.get("capture to shown")
    return [
        ("frames", f"{summary['frames']:,}", ""),
        ("of which missing in the output after the start", str(found["missing"]), "0"),
        ("capture to overlay, P50 / P95 / P99", ms(overlay), f"P95 {1000 * OVERLAY_S:.0f} ms"),
        ("capture to encoded output", ms(output), ""),
        ("clock in the decoded output's pixels", ms(pixels), ""),
        *(
            [("capture to the page's pixels", ms(shown), f"P95 {1000 * SHOWN_S:.0f} ms")]
            if shown
            else []
        ),
        ("capture to maps", ms(maps), ""),
        ("age of the maps of a frame", ms(delay["age of maps"]), ""),
        ("passes for a window", ms(delay["model"]), ""),
        ("windows a second", f"{summary['windows_per_second']:.1f}", ""),
        ("clock's P95 in the last sixth / in the first", f"{found['later']:.3f}", ""),
        ("memory at the end / after a sixth", f"{memory:.3f}", f"{GROWTH}"),
        ("threads and open files added", f"{threads} and {files}", "0"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--arch", help="of a model with random weights, instead of the bundled one")
    parser.add_argument("--page", action="store_true", help="also show the page in Chromium")
    parser.add_argument("options", nargs="*", help="more options of the command, after --")
    asked = parser.parse_args()
    found = measured(asked.seconds, asked.arch, asked.page, asked.options)
    if asked.json:
        print(json.dumps(found, indent=2))
        return
    print("| what | measured | at most |\n|---|---|---|")
    for row in rows(found):
        print(f"| {' | '.join(row)} |")
    what = " ".join([asked.arch or "tiny-events", *asked.options])
    print(f"\n{what}, {asked.seconds:g} s; {machine()}")


if __name__ == "__main__":
    main()
