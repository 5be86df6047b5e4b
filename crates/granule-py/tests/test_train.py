"""Training."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import granule

HOLDS_ITSELF = {}
HOLDS_ITSELF["a"] = HOLDS_ITSELF
SHORT = dict(device="cpu", epochs=2, limit_train=300, limit_test=100)


def test_a_run_has_its_history_scores_report_and_model(digits):
    (epoch,) = digits.history
    assert epoch["epoch"] == 1 and 0 < epoch["train_loss"] < 3
    assert 0 <= epoch["validation_accuracy"] <= 1
    assert not digits.interrupted
    assert digits.confusion.shape == (10, 10) and digits.confusion.sum() == 300
    assert digits.accuracy == pytest.approx(np.trace(digits.confusion) / 300)
    assert digits.accuracy > 0.5
    assert digits.scores["samples"] == 300
    page = digits.report()
    assert page.parent == digits.dir and page.read_text().lstrip().startswith("<!")
    assert "epochs" in repr(digits)


def test_training_is_that_of_the_command_and_repeats_bit_for_bit(tmp_path):
    first, second = (
        granule.train("mlp", run_dir=tmp_path / name, seed=4, **SHORT) for name in ("a", "b")
    )
    for name, array in first.model.state_dict().items():
        np.testing.assert_array_equal(array, second.model.state_dict()[name])
    other = granule.train("mlp", run_dir=tmp_path / "c", seed=5, **SHORT)
    assert any(
        not np.array_equal(array, other.model.state_dict()[name])
        for name, array in first.model.state_dict().items()
    )
    config = (tmp_path / "a" / "config.toml").read_text()
    assert "epochs = 2" in config and "limit_train = 300" in config and "synthetic-digits" in config


def test_settings_are_given_by_dict_by_keyword_and_by_short_name(tmp_path):
    run = granule.train(
        "mlp",
        run_dir=tmp_path / "run",
        set={"optimizer.lr": 2e-3, "model": {"widths": (8, np.int64(4))}},
        train__batch_size=50,
        validation=0.25,
        schedule="constant",
        **SHORT,
    )
    assert run.model.state_dict()["layers.0.weight"].shape[0] == 8
    assert run.model.describe()["model"]["widths"] == [8, 4]
    assert all(epoch["learning_rate"] == pytest.approx(2e-3) for epoch in run.history)
    assert run.history[0]["validation_loss"] is not None
    steps = run.outcome["steps"]
    assert steps == 2 * -(-225 // 50)


def test_a_preset_and_a_file_are_settings_that_others_stand_over(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text("[model]\nkind = 'mlp'\nwidths = [7]\n[train]\nclip_norm = 1.0\n[data]\nlimit_train = 200\n")
    run = granule.train(file, run_dir=tmp_path / "run", epochs=1, limit_test=50, device="cpu", train__clip_norm=None)
    assert run.model.describe()["model"]["widths"] == [7]
    assert "clip_norm" not in (tmp_path / "run" / "config.toml").read_text().replace("# clip_norm", "")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (dict(epochs=0), ValueError, "train.epochs"),
        (dict(epochs="many"), ValueError, "train.epochs"),
        (dict(epochs=1.5), ValueError, "train.epochs"),
        (dict(epochs=2**70), ValueError, "whole numbers go"),
        (dict(lr=float("nan")), ValueError, "optimizer.lr"),
        (dict(lr=object()), TypeError, "no setting is a object"),
        (dict(lr=[None]), ValueError, "None in a list"),
        (dict(train__epoch=3), ValueError, "unknown key `train.epoch`"),
        (dict(nonesuch=3), ValueError, "unknown key `nonesuch`"),
        (dict(train__epoch=None), ValueError, "unknown key `train.epoch`"),
        (dict(optimizer="sgdd"), ValueError, "sgdd"),
        (dict(set=[1]), TypeError, "set: a dict"),
        (dict(set={1: 2}), TypeError, "keys are texts"),
        (dict(set={"a..b": 2}), ValueError, "not of the form"),
        (dict(set={"train.epochs": 2}, epochs=3), ValueError, "given twice"),
        (dict(dataset="nonesuch"), ValueError, "nonesuch"),
        (dict(dataset="folder:/nonesuch"), OSError, "/nonesuch"),
        (dict(device="gpuu"), ValueError, "gpuu"),
        (dict(callback=3), TypeError, "callback"),
        (dict(validation=2.0), ValueError, "data.validation"),
        (dict(set={"model.widths": [10**12]}), ValueError, r"model.widths\[0\]"),
        (dict(set={".".join("a" * 100_000): 1}), ValueError, "deeper than any setting"),
        (dict(set={"a": HOLDS_ITSELF}), ValueError, "deeper than any setting"),
        (dict(dataset="\ud800"), ValueError, "not valid Unicode"),
        (dict(seed=-1), ValueError, "`seed`"),
        (dict(run_dir="/etc/passwd/run"), OSError, "/etc/passwd"),
    ],
)
def test_a_wrong_setting_is_named(given, error, words):
    with pytest.raises(error, match=words) as caught:
        granule.train("mlp", **({"limit_train": 100} | given))
    assert isinstance(caught.value, granule.GranuleError)
    assert not os.path.exists("runs")


def test_what_is_no_model_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="neither a model, a preset nor a .toml file.*lenet"):
        granule.train("lennet")
    with pytest.raises(TypeError):
        granule.train(3)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    with pytest.raises(OSError, match="not empty"):
        granule.train("mlp", run_dir=tmp_path / "full", **SHORT)


def test_a_callback_hears_of_every_epoch_and_ends_the_run(tmp_path):
    heard = []
    run = granule.train("mlp", run_dir=tmp_path / "a", callback=heard.append, **SHORT)
    assert [epoch["epoch"] for epoch in heard] == [1, 2]
    assert heard == run.history

    stopped = granule.train(
        "mlp", run_dir=tmp_path / "b", callback=lambda epoch: False, **(SHORT | {"epochs": 5})
    )
    assert stopped.interrupted and len(stopped.history) == 1
    assert stopped.scores is None and stopped.confusion is None and stopped.accuracy is None
    assert stopped.model.predict(np.zeros((28, 28), np.uint8)) in stopped.model.classes
    gone_on = granule.resume(stopped)
    assert not gone_on.interrupted and [epoch["epoch"] for epoch in gone_on.history] == [2, 3, 4, 5]
    whole = granule.train("mlp", run_dir=tmp_path / "c", **(SHORT | {"epochs": 5}))
    for name, array in whole.model.state_dict().items():
        np.testing.assert_array_equal(array, gone_on.model.state_dict()[name])


def test_what_a_callback_raises_is_raised_and_the_run_is_saved(tmp_path):
    def bad(epoch):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        granule.train("mlp", run_dir=tmp_path / "run", callback=bad, **(SHORT | {"epochs": 4}))
    assert list((tmp_path / "run" / "checkpoints").iterdir())
    assert not granule.resume(tmp_path / "run").interrupted


def test_ctrl_c_saves_and_raises(tmp_path):
    code = textwrap.dedent(
        """
        import granule, os, signal, threading
        threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            granule.train("mlp", run_dir="run", epochs=100000, limit_train=3000, device="cpu", callback=lambda e: None)
        except KeyboardInterrupt:
            print("raised")
        """
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False
    )
    assert out.stdout.strip() == "raised", out.stderr
    assert any(name.suffix == ".ckpt" for name in (tmp_path / "run" / "checkpoints").iterdir())
    granule.load(sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[-1])


def test_other_threads_run_while_a_model_learns(tmp_path):
    ticks = []
    done = threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.005)

    thread = threading.Thread(target=tick)
    thread.start()
    began = time.monotonic()
    granule.train("lenet", run_dir=tmp_path / "run", device="cpu", epochs=2, limit_train=2000, limit_test=100)
    lasted = time.monotonic() - began
    done.set()
    thread.join()
    longest = max(later - sooner for sooner, later in zip(ticks, ticks[1:]))
    assert longest < max(0.5 * lasted, 0.2), (longest, lasted)


def test_progress_is_shown_when_asked_for(tmp_path, capfd):
    granule.train("mlp", run_dir=tmp_path / "a", progress=True, **SHORT)
    shown = capfd.readouterr().err
    assert "epoch 1/2" in shown and "epoch 2/2" in shown and "loss" in shown
    granule.train("mlp", run_dir=tmp_path / "b", **SHORT)
    assert capfd.readouterr().err == ""


def test_arrays_are_learnt_from(line):
    x, y = line
    for data in (x, x.tolist(), np.asfortranarray(x), x.astype(">f8"), x.astype(np.float32)):
        run = granule.fit("mlp", data, y, epochs=30, device="cpu", seed=1)
        assert run.dir is None and run.scores["r2"] > 0.9
        with pytest.raises(granule.GranuleError, match="temporary"):
            run.report()
    run = granule.fit("mlp", x[:300], y[:300], x_test=x[300:], y_test=y[300:], epochs=30, device="cpu")
    assert run.scores["samples"] == 100


def test_numbers_far_from_zero_are_told_apart():
    random = np.random.default_rng(2)
    x = random.normal(size=(500, 2)) + 1e9
    y = 1e-3 * (x[:, 0] - 1e9) + 5e6
    run = granule.fit("mlp", x, y, targets="values", epochs=60, device="cpu")
    assert run.scores["r2"] > 0.9
    predicted = run.model.predict(x)[:, 0] - 5e6
    assert np.isfinite(predicted).all()


def test_classes_are_names_or_numbers(tmp_path):
    random = np.random.default_rng(1)
    x = random.normal(size=(300, 3))
    names = np.where(x[:, 0] > 0, "right", "left")
    for y in (names, names.tolist(), names.astype(object)):
        run = granule.fit("mlp", x, y, epochs=30, device="cpu", run_dir=None)
        assert run.model.classes == ["left", "right"]
        assert run.accuracy > 0.9
        assert (run.model.predict(x) == names).mean() > 0.9


def test_images_and_sequences_are_learnt_from():
    random = np.random.default_rng(1)
    y = random.integers(0, 2, 200)
    x = random.integers(0, 100, (200, 12, 12)).astype(np.uint8)
    x[y == 1, :6] += 120
    run = granule.fit("cnn", x, y, targets="classes", epochs=5, device="cpu")
    assert run.model.input_shape == (1, 12, 12) and run.accuracy > 0.9
    assert (run.model.predict(x) == y.astype(str)).mean() > 0.9
    waves = np.sin(np.arange(20) * np.where(y == 1, 0.5, 1.5)[:, None])[..., None]
    run = granule.fit(
        "gru", waves, y, targets="classes", epochs=15, device="cpu", set={"data.layout": "sequence", "model.units": 8, "model.readout": "last"}
    )
    assert run.model.input_shape == (20, 1)
    assert run.model.predict(waves).shape == (200,)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([[1.0], [np.nan]], [0, 1], "is NaN"),
        ([[1.0], [2.0]], [0.0, np.inf], "is infinity"),
        ([1.0, 2.0], [0, 1], "along the first axis"),
        ([[1.0], [2.0]], [0], "do not belong together"),
        (np.zeros((0, 3)), [], "nothing to learn from"),
        (np.full((4, 5, 5), 300), [0, 1, 0, 1], "0 to 255"),
        (np.full((4, 5, 5), 1.5), [0, 1, 0, 1], "^x: .*1.5 to 1.5"),
        ([[1e300], [2.0]], [0, 1], "^x: .*finite"),
    ],
)
def test_arrays_that_cannot_be_learnt_from_are_named(x, y, words):
    with pytest.raises(granule.GranuleError, match=words):
        granule.fit("mlp", x, y, epochs=1, device="cpu")


def test_a_callback_may_train_and_may_take_the_folder_away(tmp_path):
    import shutil

    run = granule.train(
        "mlp",
        run_dir=tmp_path / "a",
        callback=lambda epoch: granule.train("mlp", run_dir=tmp_path / f"inner{epoch['epoch']}", **SHORT),
        **SHORT,
    )
    assert not run.interrupted and (tmp_path / "inner2" / "model.granule").is_file()
    with pytest.raises(OSError, match="deleted, moved or taken over"):
        granule.train(
            "mlp", run_dir=tmp_path / "b", callback=lambda epoch: shutil.rmtree(tmp_path / "b"), **(SHORT | {"epochs": 9})
        )


def test_names_of_classes_may_be_any_text():
    x = [[1.0], [2.0]] * 10
    run = granule.fit("mlp", x, ["ä", "😀"] * 10, epochs=1, device="cpu")
    assert run.model.classes == ["ä", "😀"]
    with pytest.raises(ValueError, match="must be ASCII"):
        granule.fit("mlp", x, np.array([b"\xff", b"a"] * 10), epochs=1, device="cpu")


def test_parts_go_together(line):
    x, y = line
    with pytest.raises(ValueError, match="go together"):
        granule.fit("mlp", x, y, x_test=x)


def test_arrays_are_kept_beside_a_run_that_is_kept(tmp_path):
    x = np.random.default_rng(0).normal(size=(80, 4)).astype("float32")
    y = (x[:, 0] > 0).astype(int)
    run_dir = tmp_path / "deep" / "run"
    kept = tmp_path / "deep" / "run.arrays.npz"
    with pytest.raises(granule.GranuleError):
        granule.fit("mlp", x, y, run_dir=run_dir, epochs=-1, device="cpu")
    assert not kept.exists()
    granule.fit("mlp", x, y, run_dir=run_dir, epochs=1, device="cpu")
    with np.load(kept) as arrays:
        assert np.array_equal(arrays["x_train"], x)
    before = kept.read_bytes()
    with pytest.raises(granule.GranuleValueError, match="is there already"):
        granule.fit("mlp", x[:40], y[:40], run_dir=run_dir, epochs=1, device="cpu")
    assert kept.read_bytes() == before


def test_a_history_is_drawn(digits):
    axes = digits.plot()
    assert len(axes) == 2 and axes[0].get_ylabel() == "loss"


def test_the_outcome_is_what_the_command_writes(digits):
    written = json.loads((digits.dir / "result.json").read_text())
    assert written["evaluation"]["loss"] == digits.outcome["evaluation"]["loss"]


def test_signals_are_left_as_they_were(digits):
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
