"""Compares granule's answers with those of PyTorch and onnxruntime, weights going both ways.

`python check.py GRANULE` trains a little of every model on digits, exports it, and runs it elsewhere; then it makes, and trains,
models in PyTorch, imports them, and runs them in granule. All answers are probabilities of 100 images of 28×28.
"""

import gzip
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime
import safetensors.torch
import torch
from torch import nn

import modules

HERE = pathlib.Path(__file__).parent
TOLERANCE = 1e-5
IMAGES = 100


def digits():
    """Images of MNIST where $GRANULE_DATA_DIR has them, else smooth noise; with the data set to train on."""
    folder = pathlib.Path(os.environ.get("GRANULE_DATA_DIR", "/nonexistent")) / "mnist"
    for name, read in [("t10k-images-idx3-ubyte", open), ("t10k-images-idx3-ubyte.gz", gzip.open)]:
        if (folder / name).exists():
            with read(folder / name, "rb") as file:
                file.read(16)
                pixels = np.frombuffer(file.read(IMAGES * 784), np.uint8)
            return pixels.reshape(IMAGES, 28, 28), "mnist"
    coarse = np.random.default_rng(1).uniform(0, 255, (IMAGES, 7, 7))
    return coarse.repeat(4, 1).repeat(4, 2).astype(np.uint8), "synthetic-digits"


class Check:
    def __init__(self, granule):
        self.granule = granule
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.pixels, self.dataset = digits()
        np.save(self.folder / "images.npy", self.pixels)
        self.images = torch.from_numpy(self.pixels.astype(np.float32) / 255)[:, None]
        self.failed = []
        self.largest = 0.0

    def run(self, *words):
        words = [str(word) for word in words]
        done = subprocess.run([self.granule, *words], capture_output=True, text=True, cwd=self.folder)
        if done.returncode != 0:
            raise SystemExit(f"granule {' '.join(words)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def predicted(self, model):
        """Probabilities `[images, classes]` of granule."""
        lines = self.run("predict", model, "images.npy", "--json", "--top", 10).splitlines()
        answers = [{row["class"]: row["probability"] for row in json.loads(line)["top"]} for line in lines]
        assert len(answers) == IMAGES, lines[:3]
        return np.array([[answer[str(name)] for name in range(10)] for answer in answers])

    def compare(self, what, found, expected):
        worst = float(np.abs(np.asarray(found) - np.asarray(expected)).max())
        self.largest = max(self.largest, worst)
        good = worst <= TOLERANCE
        if not good:
            self.failed.append(what)
        print(f"{'ok  ' if good else 'FAIL'} {worst:.1e}  {what}", flush=True)

    def onnx(self, path):
        """Probabilities of onnxruntime, in batches of other sizes."""
        onnx.checker.check_model(str(path), full_check=True)
        graph = onnx.load(str(path))
        assert graph.ir_version == 8 and graph.opset_import[0].version == 17
        session = self.session(path)
        parts = [self.images[:1], self.images[1:60], self.images[60:]]
        logits = [session.run(["logits"], {"input": part.numpy()})[0] for part in parts]
        return softmax(torch.from_numpy(np.concatenate(logits)))

    def outward(self, name, train, module):
        """What granule trained, elsewhere."""
        run = self.folder / f"run-{name}"
        words = ["--dataset", self.dataset, "--epochs", 1, "--limit-train", 2000, "--limit-test", 100, "--set", "train.min_steps="]
        self.run("train", *train, *words, "--quiet", "--device", "cpu", "--offline", "--run-dir", run)
        expected = self.predicted(run)
        for ending in ["safetensors", "npz", "onnx"]:
            self.run("export", run, "--out", f"{name}.{ending}")
        tensors = safetensors.torch.load_file(self.folder / f"{name}.safetensors")
        module.load_state_dict(tensors, strict=True)
        module.eval()
        config = json.loads(safetensors_metadata(run / "model.granule")["granule"])["input"]
        mean, std = [torch.tensor(config[key])[:, None, None] for key in ("mean", "std")]
        normalised = (self.images - mean) / std
        with torch.no_grad():
            self.compare(f"{name}: granule → safetensors → PyTorch", softmax(module(normalised)), expected)
        arrays = np.load(self.folder / f"{name}.npz")
        module.load_state_dict({key: torch.from_numpy(arrays[key]) for key in arrays.files}, strict=True)
        with torch.no_grad():
            self.compare(f"{name}: granule → npz → PyTorch", softmax(module(normalised)), expected)
        self.compare(f"{name}: granule → ONNX → onnxruntime", self.onnx(self.folder / f"{name}.onnx"), expected)
        for ending in ["safetensors", "npz", "onnx"]:
            self.run("import", f"{name}.{ending}", "--model", run, "--out", "again.granule")
            self.compare(f"{name}: granule → {ending} → granule", self.predicted("again.granule"), expected)

    def sequences(self, name, model):
        """Real values of sequences, of granule and of onnxruntime, relative to the largest."""
        random = np.random.default_rng(2)
        x = random.normal(3, 2, (100, 14, 4)).astype(np.float32)
        np.savez(self.folder / "sequences.npz", x=x, y=(x.mean((1, 2))[:, None] * [100, 2]).astype(np.float32))
        np.save(self.folder / "sequences.npy", x)
        run, graph = self.folder / f"run-{name}", self.folder / f"{name}.onnx"
        words = ["--dataset", "arrays:sequences.npz", "--set", "data.layout=sequence", "--epochs", 1, "--set", "train.min_steps="]
        self.run("train", *model, *words, "--quiet", "--device", "cpu", "--run-dir", run)
        self.run("export", run, "--out", graph)
        onnx.checker.check_model(str(graph), full_check=True)
        session = self.session(graph)
        found = session.run(["output"], {"input": x})[0]
        lines = self.run("predict", run, "sequences.npy", "--json").splitlines()
        expected = np.array([json.loads(line)["values"] for line in lines])
        largest = np.abs(expected).max(0)
        self.compare(f"{name}: granule → ONNX → onnxruntime", found / largest, expected / largest)

    def session(self, path):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def inward(self, name, model, module, trained=False):
        """What PyTorch made, in granule, and from there in onnxruntime."""
        torch.manual_seed(3)
        fill(module)
        if trained:
            train(module, self.images)
        module.eval()
        normalised = (self.images - 0.1307) / 0.3081
        with torch.no_grad():
            expected = softmax(module(normalised))
        state = module.state_dict()
        torch.save(state, self.folder / f"{name}.pt")
        safetensors.torch.save_file(state, self.folder / f"{name}.safetensors")
        np.savez(self.folder / f"{name}.npz", **{key: value.numpy() for key, value in state.items()})
        words = [*model, "--input", "1x28x28", "--mean", 0.1307, "--std", 0.3081, "--out", f"{name}.granule"]
        for ending in ["pt", "safetensors", "npz"]:
            self.run("import", f"{name}.{ending}", "--model", *words)
            self.compare(f"{name}: PyTorch → {ending} → granule", self.predicted(f"{name}.granule"), expected)
        self.run("export", f"{name}.granule", "--out", f"{name}.onnx")
        self.compare(f"{name}: PyTorch → granule → ONNX", self.onnx(self.folder / f"{name}.onnx"), expected)

    def from_exporter(self, name, model, module):
        """What PyTorch's own exporter wrote as ONNX, in granule."""
        torch.manual_seed(4)
        fill(module)
        module.eval()
        normalised = (self.images - 0.1307) / 0.3081
        with torch.no_grad():
            expected = softmax(module(normalised))
        path = self.folder / f"{name}-torch.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(module, (normalised[:2],), str(path), external_data=False, optimize=False, verbose=False)
        words = [*model, "--input", "1x28x28", "--mean", 0.1307, "--std", 0.3081, "--out", f"{name}.granule"]
        self.run("import", path, "--model", *words)
        self.compare(f"{name}: PyTorch → torch.onnx → granule", self.predicted(f"{name}.granule"), expected)

    def refused(self, what, path, *parts):
        words = ["import", path, "--model", "lenet", "--input", "1x28x28", "--out", "refused.granule"]
        done = subprocess.run([self.granule, *map(str, words)], capture_output=True, text=True, cwd=self.folder)
        good = done.returncode == 1 and all(part in done.stderr for part in parts)
        if not good:
            self.failed.append(what)
        print(f"{'ok  ' if good else 'FAIL'} refused  {what}: {done.stderr.strip()[:160]}", flush=True)


def softmax(logits):
    return torch.softmax(logits.detach().double(), 1).numpy()


def safetensors_metadata(path):
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        return file.metadata()


def fill(module):
    """Weights of a size at which answers differ, and statistics that are those of no batch."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        with torch.no_grad():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif name.endswith("time_constant") or name.endswith("time_constant.raw"):
                tensor.fill_(70.0)
            elif name.endswith("pattern"):
                tensor.copy_(torch.sign(torch.randn(len(tensor), 1)).expand_as(tensor))
            elif name.endswith("slope"):
                tensor.fill_(1.3)
            elif name.endswith("num_batches_tracked"):
                tensor.fill_(5)
            else:
                fan = tensor[0].numel() if tensor.dim() > 1 else 4
                tensor.normal_(0, fan**-0.5)


def train(module, images):
    """A few steps on labels that the images have by their brightness, so that statistics of batches are learnt too."""
    labels = images.mean((1, 2, 3)).argsort().argsort() * 10 // len(images)
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    module.train()
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module((images - 0.1307) / 0.3081), labels).backward()
        optimizer.step()


def sequential():
    layers = [
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.GELU(),
        nn.AvgPool2d(2),
        modules.Residual(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh()),
        modules.LayerNorm(4 * 14 * 14),
        modules.Branches(
            [
                [modules.Recurrent(nn.GRU(56, 5, batch_first=True))],
                [modules.Recurrent(nn.LSTM(56, 6, batch_first=True))],
                [nn.MaxPool2d(7), nn.Flatten()],
            ],
            27,
        ),
        modules.Branches(
            [[nn.Linear(27, 8), nn.Sigmoid()], [nn.Linear(27, 8), nn.ReLU()]], 16, gated=True
        ),
        nn.Dropout(0.5),
        Latent(8, 7),
    ]
    return modules.Sequential(layers, 7)


class Latent(nn.Module):
    """The means of a variational latent."""

    def __init__(self, values, units):
        super().__init__()
        self.mean = nn.Linear(values, units)
        self.log_variance = nn.Linear(values, units)

    def forward(self, x):
        return self.mean(x)


class Code:
    """What a pickle would run: it leaves a file behind."""

    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.system, (f"touch {self.witness}",)


KINDS = {
    "mlp": (["mlp", "--set", "model.activation=gelu"], lambda: modules.Mlp(784, activation=nn.functional.gelu)),
    "lenet": (["lenet"], modules.LeNet),
    "cnn": (["cnn", "--set", "model.channels=[8,16]"], lambda: modules.Cnn(1, 28, (8, 16))),
    "cnn-norm": (
        ["cnn", "--set", "model.channels=[8,16]", "--set", "model.batch_norm=true", "--set", "model.convolutions=2"],
        lambda: modules.Cnn(1, 28, (8, 16), 2, batch_norm=True),
    ),
    "resnet": (["resnet", "--set", "model.widths=[8,16,16,32]"], lambda: modules.ResNet(1, 9, [8, 16, 16, 32])),
    "resnet-20": (["resnet", "--set", "model.depth=20"], lambda: modules.ResNet(1, 20)),
    "rate": (["rate"], lambda: modules.Rate(28)),
    "rate-dale": (
        ["rate", "--set", "model.dale_ratio=0.8", "--set", "model.activation=tanh"],
        lambda: modules.Rate(28, activation=torch.tanh, dale=True),
    ),
    "gru": (["gru"], lambda: modules.Gated(28, nn.GRU)),
    "lstm": (["lstm"], lambda: modules.Gated(28, nn.LSTM)),
    "wilson-cowan": (["wilson-cowan"], lambda: modules.WilsonCowan(28)),
    "sequential": ([str(HERE / "sequential.toml")], sequential),
}


SEQUENCES = {
    "sequences": [str(HERE / "sequences.toml")],
    "rate-low-rank": [
        "rate",
        *("--set", "model.readout=mean", "--set", "model.recurrence={low_rank={rank=2,background=0.5}}"),
        *("--set", "model.time_constant_bounds=[30,300]", "--set", "model.train_initial_state=true"),
    ],
    "rate-excitatory": [
        "rate",
        *("--set", "model.readout=last", "--set", "model.dale_ratio=0.7", "--set", "model.rectifier=softplus"),
        *("--set", "model.excitatory_output=true", "--set", "model.autapses=false"),
        *("--set", "model.activation={power_law={gain=0.3,exponent=1.5}}"),
    ],
}


def main():
    logging.disable(logging.WARNING)
    check = Check(sys.argv[1])
    print(f"torch {torch.__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}, {check.dataset}")
    for name, (model, module) in KINDS.items():
        check.outward(name, model, module())
        check.inward(name, model, module())
        if name in ("lenet", "resnet", "gru"):
            check.inward(f"{name}-trained", model, module(), trained=True)
    for name, model in SEQUENCES.items():
        check.sequences(name, model)
    for name in ("mlp", "lenet", "cnn-norm", "resnet", "rate", "gru", "lstm"):
        model, module = KINDS[name]
        check.from_exporter(name, model, module())
    witness = check.folder / "ran"
    torch.save({"conv1.weight": torch.zeros(6, 1, 5, 5), "hook": Code(witness)}, check.folder / "code.pt")
    check.refused("a pickle with code", "code.pt", "system", "refused")
    torch.save(modules.LeNet(), check.folder / "module.pt")
    check.refused("a whole module", "module.pt", "modules.LeNet")
    torch.save(modules.LeNet().state_dict(), check.folder / "legacy.pt", _use_new_zipfile_serialization=False)
    check.refused("a file of PyTorch before 1.6", "legacy.pt", "1.6")
    torch.save(modules.Mlp(784).state_dict(), check.folder / "other.pt")
    check.refused("weights of another model", "other.pt", "conv1.weight [6, 1, 5, 5] is missing")
    assert not witness.exists(), "a pickle was run"
    halves = {key: value.bfloat16() for key, value in modules.LeNet().state_dict().items()}
    torch.save({"state_dict": halves, "epoch": 3}, check.folder / "half.pt")
    print(check.run("import", "half.pt", "--model", "lenet", "--input", "1x28x28", "--out", "half.granule", "--json").strip())
    print(f"largest difference {check.largest:.1e}; {'all agree' if not check.failed else check.failed}")
    sys.exit(bool(check.failed))


if __name__ == "__main__":
    main()
