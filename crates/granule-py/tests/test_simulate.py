"""Simulations."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import granule


def test_a_cell_has_traces_with_units_and_spikes():
    result = granule.simulate("hodgkin-huxley", unit__current=10.0, duration=100)
    assert "v" in result and set(result.units) == set(result)
    assert result["v"].unit == "mV" and result.units["v"] == "mV"
    assert result["v"].values.shape == (len(result.time), 1)
    assert result.time[0] == 0 and result.time[-1] == pytest.approx(100)
    (spikes,) = result.spikes
    assert 5 < len(spikes) < 9 and (np.diff(spikes) > 10).all()
    assert result.rates[0] == pytest.approx(1000 * len(spikes) / 100)
    v = np.asarray(result["v"])
    crossings = ((v[:-1, 0] < 0) & (v[1:, 0] >= 0)).sum()
    assert crossings == len(spikes)
    assert "hodgkin-huxley" in repr(result) and "mV" in repr(result["v"])


def test_what_is_given_may_be_a_preset_a_text_a_file_or_a_dict(tmp_path):
    text = "duration = 20.0\ndt = 0.02\n[unit]\nkind = 'hodgkin-huxley'\ncurrent = 10.0\n"
    file = tmp_path / "cell.toml"
    file.write_text(text)
    settings = {"duration": 20, "dt": 0.02, "unit": {"kind": "hodgkin-huxley", "current": 10.0}}
    flat = {"duration": 20, "dt": 0.02, "unit.kind": "hodgkin-huxley", "unit.current": np.float32(10)}
    results = [granule.simulate(what) for what in (text, file, str(file), settings, flat)]
    for result in results:
        np.testing.assert_array_equal(result["v"].values, results[0]["v"].values)
    again = granule.simulate(results[0].config)
    np.testing.assert_array_equal(again["v"].values, results[0]["v"].values)


def test_every_preset_runs():
    assert len(granule.presets()) > 20
    for name, line in granule.presets().items():
        assert line
        result = granule.simulate(name, duration=5.0)
        assert len(result.time) > 0 and all(np.isfinite(trace.values).all() for trace in result.values())
        assert result.svg().startswith("<svg")


def test_currents_may_be_an_array_and_a_stimulus_has_its_trace():
    currents = np.linspace(0, 20, 5)
    result = granule.simulate("hodgkin-huxley", unit__current=currents, duration=50)
    assert result["v"].values.shape[1] == 5 and len(result.spikes) == 5
    assert len(result.spikes[0]) == 0 < len(result.spikes[4])
    stimulus = {"kind": "step", "amplitude": 10.0, "onset": 10.0}
    result = granule.simulate("hodgkin-huxley", set={"unit.current": 0.0, "stimulus": stimulus})
    (trace,) = result.stimulus.values()
    assert trace.values[0, 0] == 0 and trace.values.max() == 10
    assert set(result.arrays()) >= {"time", "v", f"stimulus.{trace.name}"}


def test_a_network_has_groups_with_rates():
    result = granule.simulate("balanced-network", duration=100)
    assert len(result.groups) == 2
    for group in result.groups:
        mean = np.mean([result.rates[cell] for cell in group.cells])
        assert group.rate == pytest.approx(mean)
    assert len(result.spikes) == sum(len(group.cells) for group in result.groups)


@pytest.mark.parametrize(
    ("what", "given", "error", "words"),
    [
        ("hodgkin-huxly", {}, ValueError, "neither a preset nor a .toml file.*hodgkin-huxley"),
        ("nonesuch.toml", {}, OSError, "nonesuch.toml"),
        ("a = [\n", {}, ValueError, "not valid TOML"),
        ("", {}, ValueError, "unit"),
        ({}, {}, ValueError, "unit"),
        ("hodgkin-huxley", dict(durations=3), ValueError, "unknown key `durations`"),
        ("hodgkin-huxley", dict(duration=-3), ValueError, "duration"),
        ("hodgkin-huxley", dict(duration="long"), ValueError, "`duration`"),
        ("hodgkin-huxley", dict(unit__kind="nonesuch"), ValueError, "nonesuch"),
        ("hodgkin-huxley", dict(duration=float("inf")), ValueError, "finite"),
        ("hodgkin-huxley", dict(duration=1e300), ValueError, "duration|steps"),
        ("hodgkin-huxley", dict(device="nonesuch"), ValueError, "nonesuch"),
        ("hodgkin-huxley", dict(precision="f16"), TypeError, "f16"),
        ("hodgkin-huxley", dict(set={"unit.current": [1.0, None]}), ValueError, "None in a list"),
        ("hodgkin-huxley", dict(set={"durations": None}), ValueError, "unknown key `durations`"),
        (3, {}, TypeError, "a path is taken"),
        ({"unit": {"kind": "hodgkin-huxley"}, "dt": 50.0, "duration": 1000}, {}, granule.GranuleError, "dt|step"),
    ],
)
def test_what_cannot_be_simulated_is_named(what, given, error, words):
    with pytest.raises(error, match=words) as caught:
        granule.simulate(what, **given)
    assert isinstance(caught.value, granule.GranuleError)
    assert "bug in granule" not in str(caught.value)


def test_none_takes_back_what_a_preset_has():
    given = granule.simulate("hodgkin-huxley", duration=5)
    again = granule.simulate("hodgkin-huxley", duration=5, set={"dt": None, "unit.current": None})
    assert again.config == given.config and given.config["unit"]["current"] == 10.0


def test_single_precision_is_near_double():
    one, two = (granule.simulate("hodgkin-huxley", duration=10, precision=p) for p in ("f32", "f64"))
    difference = np.abs(one["v"].values - two["v"].values).max()
    assert 0 < difference < 1


def test_pictures_are_drawn(tmp_path):
    result = granule.simulate("hodgkin-huxley", duration=20)
    axes = result.plot()
    assert axes[0].get_ylabel() == "v (mV)" and axes[-1].get_xlabel() == "time (ms)"
    result.svg(tmp_path / "cell.svg", width=400, height=300)
    assert (tmp_path / "cell.svg").read_text().startswith("<svg")
    for width in (0, -1, 2**40):
        with pytest.raises(granule.GranuleError):
            result.svg(width=width)
    with pytest.raises(OSError, match="cannot write"):
        result.svg(tmp_path)
    assert len(granule.simulate("fi-curve", duration=20).plot()) >= 2


def test_without_matplotlib_the_error_says_so(monkeypatch):
    result = granule.simulate("hodgkin-huxley", duration=5)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(granule.GranuleError, match="pip install matplotlib"):
        result.plot()


def test_ctrl_c_ends_a_simulation(tmp_path):
    code = textwrap.dedent(
        """
        import granule, os, signal, threading
        threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            granule.simulate("hodgkin-huxley", duration=2e6, set={"record.every": 1000})
        except KeyboardInterrupt:
            print("raised")
        """
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
    )
    assert out.stdout.strip() == "raised", out.stderr


def test_a_model_is_fitted_to_a_recording(root, tmp_path):
    file = root / "examples" / "three_levels.toml"
    small = {"model.level.0.unit.cells": 2, "model.level.0.unit.current": [7.0, 9.0], "model.level.1.population.units": 8}
    true = granule.simulate(
        file, duration=20, set=small | {"model.coupler.0.projection.mean.gain": 3.0, "model.coupler.1.projection.mean.gain": 4.0}
    )
    assert {"cells.v", "population.x", "system.x"} <= set(true)
    recording = {name: array for name, array in true.arrays().items() if not name.startswith("stimulus.")}
    run = granule.fit_recording(file, recording, epochs=3, set=small, device="cpu")
    losses = [epoch["train_loss"] for epoch in run.history]
    assert len(losses) == 3 and losses[-1] < losses[0]
    assert run.scores["quantities"][0]["name"] == "cells.v"
    kept = granule.fit_recording(file, true, epochs=1, set=small, device="cpu", run_dir=tmp_path / "run")
    assert kept.dir == tmp_path / "run" and (tmp_path / "run.recording.npz").is_file()
    saved = granule.fit_recording(
        file, tmp_path / "run.recording.npz", epochs=1, set=small, device="cpu", run_dir=tmp_path / "again"
    )
    assert saved.history[0]["train_loss"] == kept.history[0]["train_loss"]
    with pytest.raises(granule.GranuleError):
        granule.fit_recording(file, {"time": [0.0, 1.0]}, epochs=1, set=small)
    with pytest.raises(ValueError, match="NaN"):
        granule.fit_recording(file, recording | {"system.x": np.full((41, 1), np.nan)}, epochs=1, set=small)
