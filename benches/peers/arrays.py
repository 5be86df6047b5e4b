"""Arrays as NumPy writes them, read by granule: python arrays.py GRANULE

Writes the same numbers in every type, byte order and layout, alone and in archives (stored, compressed, with a member more
than once and with 64-bit lengths), reads each as the weights of a network (a row, as the currents of cells), and compares bit for bit with what NumPy reads. Needs
NumPy alone. Prints how many were equal; ends with 1 where one was not.
"""

import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings
import zipfile

import numpy as np

TYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
NUMBERS = np.array([[0, 1, 2], [5, 7, 11], [17, 19, 100]])


def layouts(array):
    yield "C", np.ascontiguousarray(array)
    yield "F", np.asfortranarray(array)
    yield "transposed", array.T
    yield "strided", np.repeat(array, 2, axis=1)[:, ::2]
    yield "flat", array.ravel()


def containers(array, path):
    """Writes the array in each way and yields the files."""
    alone = path / "a.npy"
    np.save(alone, array)
    yield "npy", alone
    for name, save in [("npz", np.savez), ("compressed npz", np.savez_compressed)]:
        file = path / "a.npz"
        save(file, a=array)
        yield name, file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.npy", b"older")
            archive.write(alone, "a.npy")
    yield "a member twice", file
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("a.npy", "w", force_zip64=True) as member:
            member.write(alone.read_bytes())
    yield "zip64", file


def by_numpy(file):
    loaded = np.load(file)
    array = loaded["a"] if file.suffix == ".npz" else loaded
    return array.astype("f8")


def by_granule(granule, file, shape):
    words = ["--duration", "0.1", "--dt", "0.1", "--json", "-q", "--set"]
    if len(shape) == 1:
        words = ["lif", *words, f"unit.current.file={file}"]
        place = ("unit", "current")
    else:
        network = ["--set", "connectivity.delays=", "--set", f"system.nodes={shape[0]}"]
        words = ["whole-brain", *words, f"connectivity.weights.file={file}", *network]
        place = ("connectivity", "weights")
    answer = subprocess.run([granule, "simulate", *words], capture_output=True, text=True)
    if answer.returncode != 0:
        return answer.stderr.strip()
    config = json.loads(answer.stdout.splitlines()[-1])["config"]
    return config[place[0]][place[1]]


def main():
    granule = pathlib.Path(sys.argv[1]).resolve()
    tried, unlike = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for kind, order in itertools.product(TYPES, "<>"):
            array = NUMBERS.astype(order + kind)
            if kind[0] == "f":
                array = array / array.dtype.type(3)
            for layout, laid in layouts(array.astype(order + kind, copy=False)):
                for container, file in containers(laid, pathlib.Path(folder)):
                    expected = by_numpy(file).tolist()
                    found = by_granule(granule, file, laid.shape)
                    tried += 1
                    if found != expected:
                        unlike.append((order + kind, layout, container, found))
    for case in unlike[:20]:
        print(*case)
    print(f"{tried - len(unlike)} of {tried} as NumPy reads them (NumPy {np.__version__})")
    return 1 if unlike else 0


if __name__ == "__main__":
    sys.exit(main())
