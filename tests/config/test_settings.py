"""Configuration: what wins over what, where values come from, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from staa_cli.config.files import default_yaml
from staa_cli.config.presets import presets
from staa_cli.config.settings import RenderSettings, Settings, keys, load_settings, value_of
from staa_cli.errors import ConfigError, UsageError
from staa_cli.render.color import COLORMAPS

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str, name: str = "own.yaml") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def test_nothing_said_means_the_defaults() -> None:
    loaded = load_settings(None, {}, {})
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}
    assert list(loaded.origins) == list(keys())


def test_a_flag_beats_the_environment_beats_a_file_beats_the_default(file: Any) -> None:
    path = file("# mine\nmodel: from-file\nsampling:\n  frames: 4\n  stride: 2\n")
    environ = {"STAA_SAMPLING_FRAMES": "8", "STAA_SAMPLING_STRIDE": "3", "HOME": "/"}
    loaded = load_settings(path, {"sampling.frames": "16", "sampling.hop": None}, environ)
    assert loaded.settings.model == "from-file"
    assert loaded.settings.sampling.frames == 16
    assert loaded.settings.sampling.stride == 3
    origins = {name: origin for name, origin in loaded.origins.items() if origin != "default"}
    assert origins == {
        "model": f"{path}:2",
        "sampling.frames": "--frames",
        "sampling.stride": "STAA_SAMPLING_STRIDE",
    }


def test_an_empty_variable_says_nothing() -> None:
    assert load_settings(None, {}, {"STAA_MODEL": ""}).settings.model == "tiny-events"


def test_default_yaml_is_config_py() -> None:
    text = (ROOT / "configs" / "default.yaml").read_text(encoding="utf-8")
    assert text == default_yaml(keys())
    assert load_settings("default", {}, {}).settings == Settings()
    settings_lines = [
        line.strip() for line in text.splitlines() if ": " in line and "#" not in line
    ]
    assert len(settings_lines) == len(keys())


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_is_valid_and_changes_what_it_says(name: str) -> None:
    loaded = load_settings(name, {}, {})
    assert any(origin.startswith(f"configs/{name}.yaml:") for origin in loaded.origins.values())


def test_a_file_may_extend_another_and_wins_over_it(file: Any) -> None:
    file("threads: 2\nsampling:\n  clips: 3\n  hop: 0.25\n", "base.yaml")
    loaded = load_settings(file("extends: ./base.yaml\nsampling:\n  clips: 5\n"), {}, {})
    assert loaded.settings.threads == 2
    assert loaded.settings.sampling.clips == 5
    assert loaded.settings.sampling.hop == 0.25
    assert loaded.origins["threads"].endswith("base.yaml:1")


def test_a_file_may_extend_a_preset(file: Any) -> None:
    loaded = load_settings(file("extends: ci\nthreads: 4\n"), {}, {})
    assert loaded.settings.precision == "fp32"
    assert loaded.settings.threads == 4


def test_files_that_extend_each_other_are_refused(file: Any) -> None:
    file("extends: ./b.yaml\n", "a.yaml")
    with pytest.raises(ConfigError, match="cycle"):
        load_settings(file("extends: ./a.yaml\n", "b.yaml"), {}, {})
    with pytest.raises(ConfigError, match="cycle"):
        load_settings(file("extends: ./c.yaml\n", "c.yaml"), {}, {})


@pytest.mark.parametrize(
    ("text", "line", "cause", "hint"),
    [
        ("\nmodle: x\n", 2, "no such setting: modle", "'model'"),
        ("sampling:\n  hopp: 1\n", 2, "no such setting: sampling.hopp", "'hop'"),
        ("frames: 8\n", 1, "no such setting: frames", "'sampling.frames'"),
        ("sampling:\n  frames: many\n", 2, "expected a whole number of at least 1, not 'many'", ""),
        ("sampling:\n  frames: 0\n", 2, "expected a whole number of at least 1, not 0", ""),
        ("sampling:\n  frames: 1.5\n", 2, "expected a whole number", ""),
        ("sampling:\n  frames: true\n", 2, "expected a whole number", ""),
        ("sampling:\n  hop: .inf\n", 2, "expected a number above 0", ""),
        ("\n\nrender:\n  view: haet\n", 4, "expected one of heat, side-by-side", "'heat'"),
        ("render:\n  strip: true\n", 2, "one of below, over, none, not True", ""),
        ("render:\n  opacity: 1.1\n", 2, "of at least 0 and at most 1, not 1.1", ""),
        ("output:\n  gif: perhaps\n", 2, "expected true or false, not 'perhaps'", ""),
        ("model: null\n", 1, "expected text, not None", ""),
        ("model: yes\n", 1, "expected text, not True", ""),
        ("method: staa\n", 1, "expected settings as `key: value`", ""),
        ("method:\n  layers: [1, -2]\n", 2, "expected one of default, last, all or block", ""),
        ("model: a\nmodel: b\n", 2, "'model' is set twice", ""),
        ("model: [a\nb: c\n", 2, "not valid YAML", ""),
        ("extends: [a, b]\n", 1, "one preset or path", ""),
        ("extends: fst\n", 1, "no such preset", "'fast'"),
        ("extends: ''\n", 1, "expected a preset or a file, not ''", ""),
        ("- model\n", 1, "expected settings as `key: value`, not a list", ""),
        ("sampling: [model]\n", 1, "expected settings as `key: value`, not a list", ""),
        ("class: hop\n", 1, "no such setting: class", "'target'"),
        (
            "method:\n  sampling: hop\n",
            2,
            "no such setting: method.sampling",
            "'sampling.strategy'",
        ),
        (
            "qqq: hop\n",
            1,
            "no such setting: qqq",
            "sampling, method, post, render, output, extends",
        ),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_line(
    file: Any, text: str, line: int, cause: str, hint: str
) -> None:
    path = file(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {}, {})
    assert caught.value.cause.startswith(f"{path}:{line}: ")
    assert cause in caught.value.cause
    assert hint in (caught.value.hint or "")


def test_a_file_cannot_name_code(file: Any, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = file(f"model: !!python/object/apply:pathlib.Path.touch\n- {trace}\n")
    with pytest.raises(ConfigError):
        load_settings(path, {}, {})
    assert not trace.exists()


def test_a_nest_of_aliases_ends_in_one_short_line(file: Any) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    with pytest.raises(ConfigError) as caught:
        load_settings(file("\n".join([*rows, "model: *a29\n"])), {}, {})
    assert len(caught.value.cause) < 300
    with pytest.raises(ConfigError) as caught:
        load_settings(file("model: &a [*a]\n"), {}, {})
    assert len(caught.value.cause) < 300


@pytest.mark.parametrize("config", ["nowhere.yaml", "./nowhere", "nowhere"])
def test_a_missing_file_is_a_config_error(config: str) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        load_settings(config, {}, {})


def test_a_file_that_is_no_text_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\x00\x81binary")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_settings(str(tmp_path / "x.yaml"), {}, {})


def test_an_unknown_variable_is_an_error_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="STAA_MODLE") as caught:
        load_settings(None, {}, {"STAA_MODLE": "x"})
    assert "STAA_MODEL" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="STAA_CLASS") as caught:  # as its option is called
        load_settings(None, {}, {"STAA_CLASS": "hop"})
    assert "'STAA_TARGET'" in str(caught.value.hint)
    load_settings(None, {}, {"STAA_DEBUG": "1", "STAA_OFFLINE": "1"})


@pytest.mark.parametrize(
    ("text", "value"),
    [("0,2", (0, 2)), ("3", (3,)), ("all", "all"), ([1, 2], (1, 2)), (5, (5,))],
)
def test_layers_are_words_or_numbers(text: Any, value: Any) -> None:
    assert load_settings(None, {"method.layers": text}, {}).settings.method.layers == value


def test_a_class_may_be_an_index(file: Any) -> None:
    assert load_settings(file("target: 3\n"), {}, {}).settings.target == "3"


@pytest.mark.parametrize(
    ("flags", "cause"),
    [
        ({"sampling.frames": "x"}, "--frames: expected a whole number"),
        ({"sampling.start": "5", "sampling.end": "4"}, "is not before the end"),
        ({"sampling.strategy": "range"}, "needs a start, an end, or both"),
        ({"post.threshold": "percentile", "post.threshold_value": 101}, "between 0 and 100"),
        ({"output.faithfulness": True, "output.quick_faithfulness": True}, "contradict each other"),
        ({"sampling.start": "1:00"}, "--start: expected a number of seconds of at least 0, not"),
        ({"sampling.end": "2s"}, "--end: expected a number of seconds above 0, not '2s'"),
        ({"post.smooth_s": "0"}, "a number of seconds of at least 0.001, not '0'"),
        ({"post.focus_sigma": "1e9"}, "of at least 0 and at most 100, not '1e9'"),
        ({"post.threshold_value": "1e300"}, "at most 1,000,000, not"),
        (
            {"threads": "100000"},
            "--threads: expected a whole number of at least 1 and at most 1,024",
        ),
        ({"batch_size": 10**20}, "at most 1,000,000, not"),
        ({"sampling.clips": 10**12}, "at most 1,000,000, not"),
    ],
)
def test_an_impossible_flag_names_itself(flags: dict[str, Any], cause: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(None, flags, {})
    assert cause in caught.value.cause
    assert caught.value.cause.startswith("--")


def test_a_flag_chooses_the_depth_of_a_check_over_a_file(file: Any) -> None:
    path = file("output:\n  quick_faithfulness: true\n")
    assert load_settings(path, {}, {}).settings.output.depth == "quick"
    assert load_settings(path, {"output.faithfulness": True}, {}).settings.output.depth == "full"


@pytest.mark.parametrize("key", keys().values(), ids=lambda key: key.name)
def test_every_key_has_one_line_and_a_default_of_its_type(key: Any) -> None:
    assert key.doc
    assert "\n" not in key.doc
    assert (key.unset is not None) == (key.default is None)
    loaded = load_settings(None, {key.name: key.default}, {})
    assert value_of(loaded.settings, key.name) == key.default


def test_the_color_maps_are_those_that_can_be_drawn() -> None:
    assert get_args(get_type_hints(RenderSettings)["colormap"]) == COLORMAPS


def test_default_yaml_is_yaml() -> None:
    assert yaml.safe_load(default_yaml(keys()))["sampling"]["hop"] == 0.5
