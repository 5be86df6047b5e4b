"""Loading and predicting."""

import pickle
import threading

import numpy as np
import pytest

import granule


def test_one_sample_is_one_answer_and_a_batch_is_many(model, image):
    assert model.input_shape == (1, 28, 28)
    assert model.output_shape == (10,)
    assert model.classes == [str(digit) for digit in range(10)]
    assert model.predict(image) in model.classes
    shares = model.predict_proba(image)
    assert shares.shape == (10,) and shares.dtype == np.float32
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    batch = np.stack([image, 255 - image, np.zeros_like(image)])
    expected = model.predict_proba(batch)
    for form in (batch[:, None], batch.reshape(3, -1), batch.tolist(), batch.astype(np.int64), batch / 255.0):
        np.testing.assert_allclose(model.predict_proba(form), expected, atol=1e-5)
    np.testing.assert_allclose(expected[0], shares, atol=1e-6)
    names = model.predict(batch)
    assert names.shape == (3,) and names.dtype.kind == "U"
    assert [str(name) for name in names] == [model.classes[best] for best in expected.argmax(1)]
    assert model.predict_proba(image[None, None]).shape == (1, 10)
    assert model.predict_proba(np.zeros((0, 28, 28), np.uint8)).shape == (0, 10)
    logits = model.outputs(batch)
    softmax = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(softmax / softmax.sum(1, keepdims=True), expected, atol=1e-5)


def test_a_model_is_loaded_from_a_path_a_folder_and_bytes(digits, image, tmp_path):
    folder = digits.dir
    file = folder / "model.granule"
    content = file.read_bytes()
    expected = granule.load(file).predict_proba(image)
    for source in (str(file), folder, str(folder), content, bytearray(content), memoryview(content)):
        np.testing.assert_array_equal(granule.load(source).predict_proba(image), expected)
    copy = tmp_path / "copy.granule"
    granule.load(file).save(copy)
    np.testing.assert_array_equal(granule.load(copy).predict_proba(image), expected)
    again = pickle.loads(pickle.dumps(granule.load(file)))
    np.testing.assert_array_equal(again.predict_proba(image), expected)


def test_a_damaged_file_is_an_error_wherever_it_is_cut_or_flipped(digits):
    content = (digits.dir / "model.granule").read_bytes()
    for length in (0, 1, 7, 8, 100, len(content) // 2, len(content) - 1):
        with pytest.raises(granule.GranuleOSError):
            granule.load(content[:length])
    for place in range(0, len(content), len(content) // 40):
        damaged = bytearray(content)
        damaged[place] ^= 1
        with pytest.raises(granule.GranuleError):
            granule.load(damaged)


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(granule.GranuleOSError, match="no such run folder or model file"):
        granule.load("nonesuch.granule")
    with pytest.raises(OSError):
        granule.load(tmp_path)
    with pytest.raises(granule.GranuleTypeError, match="a path is taken, not int"):
        granule.load(3)
    with pytest.raises(granule.GranuleTypeError):
        granule.load(b"", device=3)
    with pytest.raises(ValueError):
        granule.load("a\0b")
    text = tmp_path / "text.granule"
    text.write_text("no model")
    with pytest.raises(OSError, match="text.granule"):
        granule.load(text)


def test_a_device_that_is_none_is_refused_in_the_words_of_the_command(digits):
    with pytest.raises(granule.GranuleValueError, match="no device is called `gpuu`"):
        granule.load(digits.dir, device="gpuu")


def test_the_state_dict_has_the_names_and_shapes_of_pytorch(model, image):
    state = model.state_dict()
    assert state["conv1.weight"].shape == (6, 1, 5, 5)
    assert state["fc1.weight"].shape == (120, 400)
    assert state["fc1.bias"].shape == (120,)
    assert all(array.dtype == np.float32 for array in state.values())
    assert sum(array.size for array in state.values()) == model.describe()["parameters"]
    # The last layer is the dense one that its name says: its bias moves the logits as it should.
    names = [name for name in state if name.endswith("bias")]
    assert state[names[-1]].shape == (10,)


def test_a_description_says_what_the_model_is(model):
    about = model.describe()
    assert about["model"]["kind"] == "lenet"
    assert about["task"]["classes"] == model.classes
    assert about["provenance"]["epochs"] == 1
    assert "lenet" in repr(model)


def test_layouts_types_and_byte_orders_do_not_matter(model, image):
    expected = model.predict_proba(image)
    wide = np.zeros((56, 56), np.uint8)
    wide[::2, ::2] = image
    forms = {
        "strided": wide[::2, ::2],
        "reversed twice": image[::-1][::-1],
        "fortran": np.asfortranarray(image),
        "big-endian": image.astype(">i4"),
        "small-endian": image.astype("<u8"),
        "object": image.astype(object),
        "float32": (image / np.float32(255)).astype(np.float32),
        "float64": image / 255,
        "big-endian floats": (image / 255).astype(">f8"),
        "subclass": image.view(np.matrix),
        "memory": np.frombuffer(image.tobytes(), np.uint8).reshape(28, 28),
    }
    for name, form in forms.items():
        np.testing.assert_allclose(model.predict_proba(form), expected, atol=1e-5, err_msg=name)
    image.setflags(write=False)
    np.testing.assert_array_equal(model.predict_proba(image), expected)
    halves = (image / 255).astype(np.float16)
    np.testing.assert_allclose(model.predict_proba(halves), expected, atol=1e-2)


class _Interface:
    """Something that is no array and can become one."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array


class _Packed:
    """Something that knows DLPack alone."""

    def __init__(self, array, device=1):
        self._array, self._device = array, device

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return (self._device, 0)


def test_whatever_becomes_an_array_is_taken(model, image):
    expected = model.predict_proba(image)
    for form in (_Interface(image), _Packed(image)):
        np.testing.assert_array_equal(model.predict_proba(form), expected)
    with pytest.raises(granule.GranuleTypeError, match="another device than the CPU"):
        model.predict(_Packed(image, device=2))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda x: x.astype(complex), "complex"),
        (lambda x: x.astype("U3"), "elements of type"),
        (lambda x: x.astype("M8[s]"), "elements of type"),
        (lambda x: "a picture", "elements of type"),
        (lambda x: None, "no array of numbers"),
        (lambda x: {"a": 1}, "no array of numbers"),
        (lambda x: object(), "no array of numbers"),
        (lambda x: np.zeros((28, 28), dtype=[("a", "f4")]), "elements of type"),
    ],
)
def test_what_holds_no_numbers_is_a_type_error(model, image, bad, words):
    with pytest.raises(granule.GranuleTypeError, match=words):
        model.predict(bad(image))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda x: np.where(x > 200, np.nan, x / 255), "is NaN"),
        (lambda x: np.where(x > 200, np.inf, x / 255), "is infinity"),
        (lambda x: x.astype(np.int16) - 300, "0 to 255"),
        (lambda x: x.astype(np.uint16) + 300, "0 to 255"),
        (lambda x: x * 1.0, "0 to 1"),
        (lambda x: x[:27], "the model takes"),
        (lambda x: x[None, None, None], "the model takes"),
        (lambda x: np.zeros((4, 28, 28, 1)), "channels come first"),
        (lambda x: np.uint8(3), "the model takes"),
        (lambda x: [[1], [2, 3]], "no array of numbers"),
        (lambda x: np.ma.masked_greater(x, 100), "masked"),
        (lambda x: np.full((28, 28), 1e300), "0 to 1"),
        (lambda x: [], "the model takes"),
    ],
)
def test_what_the_model_cannot_take_is_a_value_error(model, image, bad, words):
    with pytest.raises(granule.GranuleValueError, match=words):
        model.predict(bad(image))


def test_a_model_is_used_from_many_threads_at_once(model, image):
    batch = np.stack([image] * 64)
    expected = model.predict_proba(batch)
    wrong = []

    def work():
        for _ in range(10):
            if not np.array_equal(model.predict_proba(batch), expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_regressor_gives_values_and_no_classes(line):
    x, y = line
    run = granule.fit("mlp", x, y, epochs=20, device="cpu")
    assert run.model.classes is None
    assert run.model.predict(x[:5]).shape == (5, 1)
    assert run.model.predict(x[0]).shape == (1,)
    with pytest.raises(TypeError, match="not classes"):
        run.model.predict_proba(x[:5])
    # Integers are numbers, not pixels, where a model takes no images.
    ones = np.ones((1, 2))
    np.testing.assert_allclose(run.model.predict(ones.astype(int)), run.model.predict(ones))


def test_an_import_takes_no_sklearn_and_no_matplotlib():
    import subprocess
    import sys

    code = "import sys, granule; print([m for m in ('sklearn', 'matplotlib', 'scipy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
