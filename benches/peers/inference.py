"""Inference by a peer: python inference.py PEER mlp|lenet|cnn one|together|load [ROUNDS]

PEER is `onnxruntime` (packages onnx and onnxruntime) or `torch`. Prints the median of the microseconds of one image, of an image of
256 together, or of loading the model file from memory. Weights are random, of the shapes of granule's models. OMP_NUM_THREADS
sets the threads.
"""

import io
import os
import sys
import tempfile
import time

import numpy as np

TOGETHER = 256
# The input's shape; then filters, kernel and padding of each convolution, which a 2x2 pool follows; then dense widths.
MODELS = {
    "mlp": ((784,), [], [128, 10]),
    "lenet": ((1, 32, 32), [(6, 5, 0), (16, 5, 0)], [120, 84, 10]),
    "cnn": ((3, 32, 32), [(64, 3, 1), (128, 3, 1)], [1024, 10]),
}


def weights(name):
    """The weights and biases of the layers, as PyTorch has them."""
    random = np.random.default_rng(1)
    shape, convolutions, widths = MODELS[name]
    draw = lambda *dims: (random.standard_normal(dims) / np.sqrt(np.prod(dims[1:]))).astype(np.float32)
    layers, values = [], int(np.prod(shape))
    if convolutions:
        channels, side = shape[0], shape[1]
        for filters, kernel, padding in convolutions:
            layers.append((draw(filters, channels, kernel, kernel), draw(filters, 1)[:, 0], padding))
            channels, side = filters, (side + 2 * padding - kernel + 1) // 2
        values = channels * side * side
    for width in widths:
        layers.append((draw(width, values), draw(width, 1)[:, 0], None))
        values = width
    return layers


def onnx_file(name, path):
    import onnx
    from onnx import helper, numpy_helper

    nodes, held, now = [], [], "x"
    layers = weights(name)
    flat = False
    for i, (weight, bias, padding) in enumerate(layers):
        held += [numpy_helper.from_array(weight, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        if padding is not None:
            nodes.append(helper.make_node("Conv", [now, f"w{i}", f"b{i}"], [f"y{i}"], pads=[padding] * 4))
            nodes.append(helper.make_node("Relu", [f"y{i}"], [f"r{i}"]))
            nodes.append(helper.make_node("MaxPool", [f"r{i}"], [f"p{i}"], kernel_shape=[2, 2], strides=[2, 2]))
            now = f"p{i}"
            continue
        if not flat:
            nodes.append(helper.make_node("Flatten", [now], ["flat"]))
            now, flat = "flat", True
        nodes.append(helper.make_node("Gemm", [now, f"w{i}", f"b{i}"], [f"y{i}"], transB=1))
        now = f"y{i}"
        if i + 1 < len(layers):
            nodes.append(helper.make_node("Relu", [now], [f"r{i}"]))
            now = f"r{i}"
    nodes.append(helper.make_node("Softmax", [now], ["out"]))
    kind = onnx.TensorProto.FLOAT
    shape = ["batch", *MODELS[name][0]]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("out", kind, ["batch", 10])],
        held,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def onnxruntime(name, folder):
    import onnxruntime as ort

    path = os.path.join(folder, "model.onnx")
    onnx_file(name, path)
    with open(path, "rb") as file:
        model = file.read()

    def load():
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    session = load()
    return load, lambda x: session.run(None, {"x": x})


def torch(name, _folder):
    import torch as t

    layers = []
    for weight, bias, padding in weights(name):
        if padding is not None:
            layer = t.nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], padding=padding)
        else:
            if not any(isinstance(layer, t.nn.Flatten) for layer in layers):
                layers.append(t.nn.Flatten())
            layer = t.nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data, layer.bias.data = t.from_numpy(weight), t.from_numpy(bias)
        layers += [layer, t.nn.ReLU()]
        if padding is not None:
            layers.append(t.nn.MaxPool2d(2))
    model = t.nn.Sequential(*layers[:-1], t.nn.Softmax(1)).eval()
    file = io.BytesIO()
    t.save(model, file)

    def load():
        file.seek(0)
        return t.load(file, weights_only=False)

    def run(x):
        with t.inference_mode():
            return model(t.from_numpy(x)).numpy()

    return load, run


def times(rounds, call):
    taken = []
    for i in range(rounds + rounds // 10 + 2):
        start = time.perf_counter()
        call(i)
        if i >= rounds // 10 + 2:
            taken.append((time.perf_counter() - start) * 1e6)
    return np.array(taken)


def main():
    peer, name, what = sys.argv[1:4]
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 2000
    shape = MODELS[name][0]
    images = np.random.default_rng(2).standard_normal((TOGETHER, *shape)).astype(np.float32)
    ones = [images[i : i + 1] for i in range(TOGETHER)]
    with tempfile.TemporaryDirectory() as folder:
        load, run = {"onnxruntime": onnxruntime, "torch": torch}[peer](name, folder)
        if what == "one":
            taken = np.median(times(rounds, lambda i: run(ones[i % TOGETHER])))
        elif what == "together":
            taken = np.median(times(max(rounds // 50, 5), lambda i: run(images))) / TOGETHER
        else:
            taken = np.median(times(max(rounds // 10, 5), lambda i: load()))
    print(f"{taken:.3f}")


main()
