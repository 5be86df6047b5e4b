//! The functions of the library: pointers become slices here, panics end here.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr;

use granule::models::Sample;

use crate::failure::{Failure, Status};
use crate::model::{Model, check_len};

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Runs what a function does; what goes wrong becomes a status and words of this thread.
fn guarded<T>(failed: impl FnOnce(Status) -> T, body: impl FnOnce() -> Result<T, Failure>) -> T {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(given)) => return given,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let words = panic
                .downcast_ref::<&str>()
                .map(|words| (*words).to_owned());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
            // What is dropped may panic as well.
            std::mem::forget(panic);
            let words = words.unwrap_or_default();
            Failure::new(Status::GranulePanic, format!("a fault in granule: {words}"))
        }
    };
    let mut words = failure.reason.into_bytes();
    words.retain(|byte| *byte != 0);
    let words = CString::new(words).unwrap_or_default();
    // Not in a thread that ends.
    let _ = LAST_ERROR.try_with(|last| last.replace(words));
    failed(failure.status)
}

fn status(body: impl FnOnce() -> Result<(), Failure>) -> Status {
    guarded(|status| status, || body().map(|()| Status::GranuleOk))
}

fn null(what: &str) -> Failure {
    let reason = format!("{what} is NULL, or not aligned");
    Failure::new(Status::GranuleNullPointer, reason)
}

/// Checks that a pointer may be that of so many values.
fn check_pointer<T>(pointer: *const T, len: usize, what: &str) -> Result<(), Failure> {
    if pointer.is_null() || !pointer.is_aligned() {
        return Err(null(what));
    }
    let most = isize::MAX.unsigned_abs() / size_of::<T>().max(1);
    if len > most {
        let reason = format!("{what} cannot have {len} values");
        return Err(Failure::new(Status::GranuleLength, reason));
    }
    Ok(())
}

/// Checks that memory which is written is apart from other memory: where it begins, how many values, what it is.
fn check_apart<T>(
    (written, len, what): (*mut f32, usize, &str),
    (other, other_len, other_what): (*const T, usize, &str),
) -> Result<(), Failure> {
    let [from, other_from] = [written.addr(), other.addr()];
    let to = from.saturating_add(len.saturating_mul(size_of::<f32>()));
    let other_to = other_from.saturating_add(other_len.saturating_mul(size_of::<T>()));
    if from < other_to && other_from < to {
        let reason = format!("{what} and {other_what} overlap");
        return Err(Failure::new(Status::GranuleOverlap, reason));
    }
    Ok(())
}

/// # Safety
///
/// `model` is NULL or of `granule_load` and not yet of `granule_free`.
unsafe fn borrowed<'a>(model: *const Model) -> Result<&'a Model, Failure> {
    // SAFETY: as the caller says.
    unsafe { model.as_ref() }.ok_or_else(|| null("the model"))
}

/// # Safety
///
/// `pointer` is NULL or of `len` values that nothing writes while the slice is used.
unsafe fn read<'a, T>(pointer: *const T, len: usize, what: &str) -> Result<&'a [T], Failure> {
    check_pointer(pointer, len, what)?;
    // SAFETY: not NULL, aligned, not too long, and of so many values, as the caller says.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

/// # Safety
///
/// `pointer` is NULL or of `len` values that nothing else reads or writes while the slice is used.
unsafe fn write<'a>(pointer: *mut f32, len: usize, what: &str) -> Result<&'a mut [f32], Failure> {
    check_pointer(pointer, len, what)?;
    // SAFETY: as above.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, len) })
}

/// As [`write`], of memory that may not have been written yet: it is zero at first.
///
/// # Safety
///
/// As of [`write`].
unsafe fn fresh<'a>(pointer: *mut f32, len: usize, what: &str) -> Result<&'a mut [f32], Failure> {
    check_pointer(pointer, len, what)?;
    // SAFETY: there is room for so many values; zeros are an f32.
    unsafe { pointer.write_bytes(0, len) };
    // SAFETY: as the caller says.
    unsafe { write(pointer, len, what) }
}

/// Gives a loaded model away.
///
/// # Safety
///
/// `out` is NULL or may be written.
unsafe fn hand_over(
    out: *mut *mut Model,
    load: impl FnOnce() -> Result<Model, Failure>,
) -> Result<(), Failure> {
    check_pointer(out, 1, "where the model goes")?;
    // SAFETY: not NULL and aligned.
    unsafe { out.write(ptr::null_mut()) };
    let loaded = Box::into_raw(Box::new(load()?));
    // SAFETY: as above.
    unsafe { out.write(loaded) };
    Ok(())
}

/// The version of this library, as "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn granule_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// What the last function of this thread that failed found wrong, in UTF-8; "" before. It is valid until the next one fails
/// in this thread.
#[unsafe(no_mangle)]
pub extern "C" fn granule_last_error() -> *const c_char {
    let last = LAST_ERROR.try_with(|last| last.borrow().as_ptr());
    last.unwrap_or(c"".as_ptr())
}

/// Loads the model of a file, a checkpoint or the folder of a run, whose path is UTF-8, on the CPU. `*out` is NULL after a
/// failure, else for granule_free.
///
/// # Safety
///
/// `path` is NULL or ends in a zero, `out` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_load(path: *const c_char, out: *mut *mut Model) -> Status {
    let load = || {
        if path.is_null() {
            return Err(null("the path"));
        }
        // SAFETY: not NULL, and it ends in a zero, as the caller says.
        let path = unsafe { CStr::from_ptr(path) };
        let path = path.to_str().map_err(|error| {
            Failure::new(
                Status::GranuleNotUtf8,
                format!("the path is not UTF-8: {error}"),
            )
        })?;
        Model::load(Path::new(path))
    };
    // SAFETY: as the caller says.
    status(|| unsafe { hand_over(out, load) })
}

/// Loads the content of a model file. The bytes are not needed afterwards.
///
/// # Safety
///
/// `bytes` is NULL or of `len` bytes, `out` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_load_bytes(
    bytes: *const u8,
    len: usize,
    out: *mut *mut Model,
) -> Status {
    // SAFETY: as the caller says.
    let load = || Model::from_bytes(unsafe { read(bytes, len, "the bytes") }?);
    // SAFETY: as the caller says.
    status(|| unsafe { hand_over(out, load) })
}

/// Ends a model. NULL is nothing.
///
/// # Safety
///
/// `model` is NULL or of granule_load, no other thread uses it, and nothing does afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_free(model: *mut Model) {
    guarded(
        |_| (),
        || {
            if !model.is_null() {
                // SAFETY: it came from a box in `hand_over`, and is freed once, as the caller says.
                drop(unsafe { Box::from_raw(model) });
            }
            Ok(())
        },
    );
}

/// The model in JSON: {"model": its kind, "input": its shape, "values": how many of one sample, "outputs": how many,
/// "classes": their names or null, "step": {"inputs", "outputs", "state", "dt_ms"} or null}. It lives as long as the model;
/// NULL where the model is.
///
/// # Safety
///
/// `model` is NULL or of granule_load.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_describe(model: *const Model) -> *const c_char {
    // SAFETY: as the caller says.
    guarded(
        |_| ptr::null(),
        || Ok(unsafe { borrowed(model) }?.description().as_ptr()),
    )
}

/// Writes the dimensions of one sample, at most three: channels, height and width of an image, the length of a vector, steps
/// and channels of a sequence. Returns how many there are; 0 after a failure.
///
/// # Safety
///
/// `model` is NULL or of granule_load, `dims` is NULL or of three values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_input_dims(model: *const Model, dims: *mut usize) -> usize {
    guarded(
        |_| 0,
        || {
            // SAFETY: as the caller says.
            let found = unsafe { borrowed(model) }?.dims();
            check_pointer(dims, 3, "dims")?;
            for (at, dim) in found.iter().take(3).enumerate() {
                // SAFETY: there are three.
                unsafe { dims.add(at).write(*dim) };
            }
            Ok(found.len())
        },
    )
}

/// The values of one sample; 0 where the model is NULL.
///
/// # Safety
///
/// `model` is NULL or of granule_load.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_input_len(model: *const Model) -> usize {
    // SAFETY: as the caller says.
    guarded(|_| 0, || Ok(unsafe { borrowed(model) }?.inputs()))
}

/// The values that the model answers a sample with: a probability for each class, or real values.
///
/// # Safety
///
/// `model` is NULL or of granule_load.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_output_len(model: *const Model) -> usize {
    // SAFETY: as the caller says.
    guarded(|_| 0, || Ok(unsafe { borrowed(model) }?.outputs()))
}

/// The number of classes; 0 of a model of real values.
///
/// # Safety
///
/// `model` is NULL or of granule_load.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_class_count(model: *const Model) -> usize {
    // SAFETY: as the caller says.
    guarded(|_| 0, || Ok(unsafe { borrowed(model) }?.classes().len()))
}

/// The name of a class, in UTF-8; it lives as long as the model. NULL where there is none of this index.
///
/// # Safety
///
/// `model` is NULL or of granule_load.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_class_name(model: *const Model, index: usize) -> *const c_char {
    guarded(
        |_| ptr::null(),
        || {
            // SAFETY: as the caller says.
            let classes = unsafe { borrowed(model) }?.classes();
            let name = classes.get(index).ok_or_else(|| {
                let reason = format!("there is no class {index}, there are {}", classes.len());
                Failure::new(Status::GranuleLength, reason)
            })?;
            Ok(name.as_ptr())
        },
    )
}

/// Answers samples of either kind.
///
/// # Safety
///
/// `model` is NULL or of granule_load, the other pointers are NULL or of so many values.
unsafe fn predict<T>(
    model: *const Model,
    (values, len, what): (*const T, usize, &str),
    samples: usize,
    (out, out_len): (*mut f32, usize),
    sample: for<'a> fn(&'a [T]) -> Sample<'a>,
) -> Status {
    status(|| {
        check_apart((out, out_len, "out"), (values, len, what))?;
        // SAFETY: as the caller says; `out` lies elsewhere.
        let (model, values) = unsafe { (borrowed(model)?, read(values, len, what)?) };
        check_len(
            "out has room for",
            out_len,
            model.outputs().checked_mul(samples),
        )?;
        // SAFETY: as the caller says.
        let out = unsafe { fresh(out, out_len, "out") }?;
        model.predict(values, samples, out, sample)
    })
}

/// Answers `samples` samples of pixels from 0 to 255 (channel, row, column), one after the other in `pixels`, whose length
/// is `len`: for each, granule_output_len values into `out`, whose length is `out_len` and which lies elsewhere. Of a
/// classifier they are probabilities.
///
/// # Safety
///
/// `model` is NULL or of granule_load, the other pointers are NULL or of so many values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_predict_pixels(
    model: *const Model,
    pixels: *const u8,
    len: usize,
    samples: usize,
    out: *mut f32,
    out_len: usize,
) -> Status {
    // SAFETY: as the caller says.
    unsafe {
        predict(
            model,
            (pixels, len, "the pixels"),
            samples,
            (out, out_len),
            |pixels| Sample::Pixels(pixels),
        )
    }
}

/// As granule_predict_pixels, of values before normalisation: features, or intensities of an image from 0 to 1.
///
/// # Safety
///
/// As of granule_predict_pixels.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_predict_values(
    model: *const Model,
    values: *const f32,
    len: usize,
    samples: usize,
    out: *mut f32,
    out_len: usize,
) -> Status {
    // SAFETY: as the caller says.
    unsafe {
        predict(
            model,
            (values, len, "the values"),
            samples,
            (out, out_len),
            |values| Sample::Values(values),
        )
    }
}

/// The values of the input of one step of a recurrent model; 0 of any other.
///
/// # Safety
///
/// `model` is NULL or of granule_load.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_step_input_len(model: *const Model) -> usize {
    // SAFETY: as the caller says.
    guarded(
        |_| 0,
        || Ok(unsafe { borrowed(model) }?.stepper()?.inputs()),
    )
}

/// The values that a recurrent model gives at a step; 0 of any other.
///
/// # Safety
///
/// `model` is NULL or of granule_load.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_step_output_len(model: *const Model) -> usize {
    // SAFETY: as the caller says.
    guarded(
        |_| 0,
        || Ok(unsafe { borrowed(model) }?.stepper()?.outputs()),
    )
}

/// The values of the state of a recurrent model; 0 of any other.
///
/// # Safety
///
/// `model` is NULL or of granule_load.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_state_len(model: *const Model) -> usize {
    // SAFETY: as the caller says.
    guarded(
        |_| 0,
        || Ok(unsafe { borrowed(model) }?.stepper()?.initial().len()),
    )
}

/// Writes the state before the first step.
///
/// # Safety
///
/// `model` is NULL or of granule_load, `state` is NULL or of `state_len` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_initial_state(
    model: *const Model,
    state: *mut f32,
    state_len: usize,
) -> Status {
    status(|| {
        // SAFETY: as the caller says.
        let initial = unsafe { borrowed(model) }?.stepper()?.initial();
        check_len("the state has", state_len, Some(initial.len()))?;
        // SAFETY: as the caller says.
        unsafe { fresh(state, state_len, "the state") }?.copy_from_slice(initial);
        Ok(())
    })
}

/// Takes a state one step on under an input of granule_step_input_len values, and writes what the model gives after it:
/// real values on their own scale, logits of a classifier. The state belongs to the caller; a step that fails leaves it as
/// it was. After the first step of a thread it asks for no memory; where a step is work for several threads, their queue may.
/// Input, state and out are three places that do not overlap.
///
/// # Safety
///
/// `model` is NULL or of granule_load, the other pointers are NULL or of so many values; `input` may be NULL where its
/// length is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn granule_step(
    model: *const Model,
    input: *const f32,
    input_len: usize,
    state: *mut f32,
    state_len: usize,
    out: *mut f32,
    out_len: usize,
) -> Status {
    status(|| {
        // SAFETY: as the caller says.
        let stepper = unsafe { borrowed(model) }?.stepper()?;
        check_len("the input has", input_len, Some(stepper.inputs()))?;
        check_len("the state has", state_len, Some(stepper.initial().len()))?;
        check_len("out has room for", out_len, Some(stepper.outputs()))?;
        let (written, read_only) = ((out, out_len, "out"), (input, input_len, "the input"));
        check_apart((state, state_len, "the state"), read_only)?;
        check_apart(written, read_only)?;
        check_apart(written, (state, state_len, "the state"))?;
        let input = match input_len {
            0 => &[],
            // SAFETY: as the caller says.
            _ => unsafe { read(input, input_len, "the input") }?,
        };
        // SAFETY: as the caller says; they do not overlap, as was checked.
        let (state, out) = unsafe {
            (
                write(state, state_len, "the state")?,
                fresh(out, out_len, "out")?,
            )
        };
        Ok(stepper.step(input, state, out)?)
    })
}
