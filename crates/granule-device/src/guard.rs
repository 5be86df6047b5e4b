//! Work whose device may fail: memory that runs out, a driver that resets, a kernel that is refused.
//!
//! The runtimes report such a failure in two ways. What a kernel should have written stays marked, so that reading it is an
//! error; and what their own interface has no error for is a panic, on the thread that works or on one of theirs.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::time::Duration;

use crate::{DeviceError, DeviceSpec, OpenDevice};

/// How often a device that failed is asked whether it is lost.
const PATIENCE: usize = 10;

thread_local! {
    static GUARDED: Cell<usize> = const { Cell::new(0) };
}

/// Whether a panic ends as an error of a device rather than as one of the program: for a panic hook, which otherwise
/// reports a failure that is reported again where it is answered for.
#[must_use]
pub fn answers_for(panic: &PanicHookInfo<'_>) -> bool {
    let said = || panic.payload_as_str().is_some_and(is_report);
    std::thread::current().name().is_some_and(is_of_runtime) || GUARDED.get() > 0 && said()
}

/// Whether the message of a panic is what a runtime tells of its device, as opposed to a fault of a program.
fn is_report(message: &str) -> bool {
    const REPORTS: [&str; 16] = [
        "an error happened during execution",
        "can't allocate buffer",
        "cubecl",
        "cuda_error",
        "cudaerror",
        "device is lost",
        "device is poisoned",
        "device lost",
        "drivererror",
        "error_out_of_device_memory",
        "error_out_of_host_memory",
        "parent device",
        "storageaccess",
        "the bytes were never written",
        "validation error",
        "wgpu error",
    ];
    let lower = message.to_ascii_lowercase();
    REPORTS.iter().any(|report| lower.contains(report))
}

/// The threads on which a runtime hands work to its device.
fn is_of_runtime(name: &str) -> bool {
    name.starts_with("DSU-") || name.starts_with("DSD-")
}

/// Counts a guard on this thread while it lives.
struct Guarded;

impl Guarded {
    fn new() -> Self {
        GUARDED.set(GUARDED.get() + 1);
        Self
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        GUARDED.set(GUARDED.get() - 1);
    }
}

/// Catches a panic of `work`, on a thread that counts as guarded meanwhile.
fn caught<T>(work: impl FnOnce() -> T) -> std::thread::Result<T> {
    let _guarded = Guarded::new();
    catch_unwind(AssertUnwindSafe(work))
}

/// Opens a device: a panic of its runtime is a refusal, any other goes on as the panic that it is.
pub(crate) fn opened<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    caught(work).unwrap_or_else(|payload| {
        let message = message(&*payload);
        if is_report(&message) {
            Err(innermost(&message))
        } else {
            resume_unwind(payload)
        }
    })
}

impl OpenDevice {
    /// Runs work on the device. A panic of its runtime is an error; any other, as of a model or an objective of the
    /// program, goes on as the panic that it is, and so does every panic on a CPU.
    ///
    /// What the work had begun is left as it was when the device failed: use no tensor of it afterwards.
    ///
    /// # Errors
    /// [`DeviceError::OutOfMemory`], [`DeviceError::Lost`] and [`DeviceError::Failed`].
    pub fn guard<T>(&self, work: impl FnOnce() -> T) -> Result<T, DeviceError> {
        if self.is_host() {
            return Ok(work());
        }
        caught(work).map_err(|payload| {
            let message = message(&*payload);
            if is_report(&message) {
                return self.failure(&message);
            }
            // A device that failed says so now; what else stopped, stopped for a reason of its own.
            match caught(|| self.sync_unguarded()) {
                Ok(Ok(())) => resume_unwind(payload),
                Ok(Err(error)) => error,
                Err(silent) => self.failure(&self::message(&*silent)),
            }
        })
    }

    /// What the failure of a piece of work means, of which the runtime's error or panic says no more than `report`.
    #[must_use]
    pub fn failure(&self, report: &str) -> DeviceError {
        let error = of_report(self.spec(), report);
        if !matches!(error, DeviceError::Failed { .. }) {
            return error;
        }
        // Work that was under way when a device was lost fails for reasons of its own, and word of the loss comes later.
        for _ in 0..PATIENCE {
            if let Ok(Err(lost @ DeviceError::Lost { .. })) = caught(|| self.sync_unguarded()) {
                return lost;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        error
    }

    /// Waits until everything handed to the device is done. A CPU backend works as it is called, so this returns at once.
    ///
    /// # Errors
    /// As [`guard`](Self::guard), for what happened since the last synchronisation.
    pub fn sync(&self) -> Result<(), DeviceError> {
        self.guard(|| self.sync_unguarded())?
    }

    fn sync_unguarded(&self) -> Result<(), DeviceError> {
        let synced = self.burn().sync();
        synced.map_err(|error| of_report(self.spec(), &error.to_string()))
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it gave no reason")
        .to_owned()
}

/// What a report alone says.
fn of_report(spec: &DeviceSpec, report: &str) -> DeviceError {
    let spec = spec.clone();
    let lower = report.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&[
        "can't allocate buffer",
        "out of memory",
        "outofmemory",
        "not enough memory",
        "out_of_device_memory",
        "out_of_host_memory",
    ]) {
        return DeviceError::OutOfMemory {
            spec,
            buffer: buffer(&lower),
        };
    }
    let reason = innermost(report);
    if says(&[
        "device is poisoned",
        "device lost",
        "device is lost",
        "parent device",
    ]) {
        DeviceError::Lost { spec, reason }
    } else {
        DeviceError::Failed { spec, reason }
    }
}

/// The bytes of the buffer that could not be had.
fn buffer(report: &str) -> Option<u64> {
    let (_, rest) = report.split_once("buffer of size: ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// What stands under the last "Caused by" of a report, between traces that lead nowhere: a line or two.
fn innermost(report: &str) -> String {
    const EMPTY: [&str; 6] = [
        "caused by",
        "backtrace",
        "asked at",
        "no backtrace available",
        "an error happened during execution",
        "several failures at once",
    ];
    // A report that was printed for debugging holds its line breaks as two characters.
    let report = report.replace("\\n", "\n");
    let cause = report
        .rsplit("Caused by:")
        .find(|cause| !cause.trim().is_empty())
        .unwrap_or_default();
    let lines: Vec<&str> = cause
        .lines()
        .map(|line| line.trim_matches(|c: char| c.is_whitespace() || "\"(){}:".contains(c)))
        .filter(|line| !line.is_empty() && !EMPTY.contains(&line.to_ascii_lowercase().as_str()))
        .take(2)
        .collect();
    if lines.is_empty() {
        return "it gave no reason".to_owned();
    }
    lines.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Adapter;

    const GPU: DeviceSpec = DeviceSpec::Wgpu(Adapter::Discrete(0));

    #[test]
    fn reports_are_told_apart() {
        let refused = "An error happened during execution\nCaused by:\n  Several failures at once\nCaused by:\n  The bytes were \
                       never written (failure #148)\nCaused by:\n  An IO error happened\nCaused by:\n  can't allocate buffer \
                       of size: 1073741824\nNo backtrace available\nAsked at:\nNo backtrace available";
        let error = of_report(&GPU, refused);
        assert!(
            matches!(
                &error,
                DeviceError::OutOfMemory {
                    buffer: Some(1_073_741_824),
                    ..
                }
            ),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(
            text.contains("1024 MiB") && text.contains("smaller batch"),
            "{text}"
        );

        let full = "wgpu error: Out of Memory";
        let error = of_report(&GPU, full);
        assert!(matches!(
            error,
            DeviceError::OutOfMemory { buffer: None, .. }
        ));

        let lost = "StorageAccess(Read(\"The device is poisoned\\nCaused by:\\n  Destroyed: \\nBacktrace:\\nNo backtrace available\"))";
        let error = of_report(&GPU, lost);
        let DeviceError::Lost { reason, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(reason, "Destroyed");

        let other = "wgpu error: Validation Error\n\nCaused by:\n  In Device::create_shader_module\n    Shader parsing error";
        let error = of_report(&GPU, other);
        assert!(
            matches!(&error, DeviceError::Failed { reason, .. } if reason == "In Device::create_shader_module: Shader parsing error"),
            "{error:?}"
        );
        let driver = "called `Result::unwrap()` on an `Err` value: ERROR_OUT_OF_HOST_MEMORY";
        assert!(is_report(driver));
        assert!(matches!(
            of_report(&GPU, driver),
            DeviceError::OutOfMemory { .. }
        ));
        let refused = opened::<()>(|| panic!("{driver}")).unwrap_err();
        assert!(refused.contains("ERROR_OUT_OF_HOST_MEMORY"), "{refused}");

        let silent = of_report(&GPU, "");
        assert!(silent.to_string().contains("gave no reason"), "{silent}");
    }

    #[test]
    fn a_fault_of_a_program_is_no_report() {
        let lock = std::sync::Mutex::new(0);
        let poisoned = catch_unwind(AssertUnwindSafe(|| {
            let _held = lock.lock();
            panic!("my labels are out of range");
        }));
        assert!(!is_report(&message(&*poisoned.unwrap_err())));
        let error = lock.lock().unwrap_err().to_string();
        assert!(error.contains("poisoned") && !is_report(&error), "{error}");
        assert!(!is_report(
            "index out of bounds: the len is 3 but the index is 7"
        ));
        assert!(matches!(
            of_report(&GPU, &error),
            DeviceError::Failed { .. }
        ));
        assert!(is_report("wgpu error: Validation Error"));
        assert!(is_report(
            "called `Result::unwrap()` on an `Err` value: StorageAccess(Read(\"…\"))"
        ));
    }

    #[test]
    fn a_panic_on_a_host_stays_a_panic() {
        let device = DeviceSpec::Flex.open().unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| device.guard(|| panic!("a bug"))));
        assert!(result.is_err());
        assert_eq!(GUARDED.get(), 0);
        assert_eq!(device.guard(|| 7).unwrap(), 7);
    }
}
