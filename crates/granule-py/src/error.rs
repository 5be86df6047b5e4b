//! What goes wrong, as an exception of Python with the words of the command.

use std::any::Any;
use std::error::Error;
use std::time::{Duration, Instant};

use granule::data::DataError;
use granule::device::DeviceError;
use granule::dynamics::DynamicsError;
use granule::interchange::InterchangeError;
use granule::io::{ConfigError, FileError, MemoryError, answered, answers_for_panics};
use granule::models::ModelError;
use granule::train::TrainError;
use granule::train::record::RecordError;
use pyo3::prelude::*;

/// Which of the classes of `granule._errors` an exception is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A setting or an array that is not allowed.
    Value,
    /// A value of a type that is not taken.
    Type,
    /// A file that is not there, damaged or refused by the system.
    Os,
    /// Too little memory.
    Memory,
    /// Anything else.
    Other,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Self::Value => "GranuleValueError",
            Self::Type => "GranuleTypeError",
            Self::Os => "GranuleOSError",
            Self::Memory => "GranuleMemoryError",
            Self::Other => "GranuleError",
        }
    }
}

/// An exception to be.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
    /// What Python itself has raised meanwhile.
    raised: Option<PyErr>,
}

impl Failure {
    /// An exception of a kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            raised: None,
        }
    }

    /// A value that is not allowed.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new(Kind::Value, message)
    }

    /// Of an error of granule: its message and those of its causes that it does not quote.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut message = said(error).trim().to_owned();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(text.trim()) {
                message = format!("{message}\nbecause: {}", text.trim());
            }
            cause = error.source();
        }
        Self::new(kind(error), message)
    }

    /// The exception.
    pub fn into_py(self, py: Python<'_>) -> PyErr {
        if let Some(raised) = self.raised {
            if !self.message.is_empty() {
                // Beside what was raised; one that takes no notes goes without.
                let _ = raised.value(py).call_method1("add_note", (self.message,));
            }
            return raised;
        }
        let class = py
            .import("granule._errors")
            .and_then(|errors| errors.getattr(self.kind.class()));
        let made = class.and_then(|class| class.call1((self.message,)));
        made.map_or_else(|error| error, PyErr::from_value)
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

/// What an error says, of a setting of a model by its name in a configuration of a run.
fn said(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<TrainError>() {
        Some(TrainError::Model(ModelError::Config(error))) => {
            error.clone().under("model").to_string()
        }
        Some(TrainError::Model(error @ ModelError::Layer { .. })) => format!("model.{error}"),
        _ => error.to_string(),
    }
}

/// What Python has raised, where Rust was called back from, with a note on what else went wrong.
pub fn raised(error: PyErr, also: Option<Failure>) -> Failure {
    Failure {
        raised: Some(error),
        ..also.unwrap_or_else(|| Failure::new(Kind::Other, ""))
    }
}

/// Asks Python now and then whether somebody pressed Ctrl-C, and keeps what it raised.
#[derive(Debug, Default)]
pub struct Signals {
    asked: Option<Instant>,
    raised: Option<PyErr>,
}

impl Signals {
    const PAUSE: Duration = Duration::from_millis(50);

    /// Whether to stop.
    pub fn stop(&mut self) -> bool {
        if self.raised.is_none()
            && self
                .asked
                .is_none_or(|asked| asked.elapsed() >= Self::PAUSE)
        {
            self.raised = Python::attach(|py| py.check_signals()).err();
            self.asked = Some(Instant::now());
        }
        self.raised.is_some()
    }

    /// What was done, unless Python has raised.
    ///
    /// # Errors
    /// What Python has raised, with a note on what went wrong besides; or what went wrong.
    pub fn end<T>(self, done: Result<T, Failure>) -> Result<T, Failure> {
        match self.raised {
            Some(error) => Err(raised(error, done.err())),
            None => done,
        }
    }
}

fn kind(error: &(dyn Error + 'static)) -> Kind {
    if let Some(error) = error.downcast_ref::<ModelError>() {
        return of_model(error);
    }
    if let Some(error) = error.downcast_ref::<TrainError>() {
        return of_training(error);
    }
    if let Some(error) = error.downcast_ref::<DataError>() {
        return of_data(error);
    }
    if let Some(error) = error.downcast_ref::<InterchangeError>() {
        return match error {
            InterchangeError::Model(error) => of_model(error),
            InterchangeError::Data(error) => of_data(error),
            InterchangeError::Memory(_) => Kind::Memory,
            InterchangeError::UnknownFormat { .. }
            | InterchangeError::NoFormat { .. }
            | InterchangeError::ReadOnly { .. }
            | InterchangeError::Inexpressible { .. }
            | InterchangeError::Mismatched { .. } => Kind::Value,
            _ => Kind::Os,
        };
    }
    if let Some(error) = error.downcast_ref::<DynamicsError>() {
        return of_dynamics(error);
    }
    if let Some(error) = error.downcast_ref::<FileError>() {
        return of_file(error);
    }
    if let Some(error) = error.downcast_ref::<DeviceError>() {
        return of_device(error);
    }
    if error.is::<MemoryError>() {
        Kind::Memory
    } else if error.is::<std::io::Error>() {
        Kind::Os
    } else if error.is::<ConfigError>() {
        Kind::Value
    } else {
        error.source().map_or(Kind::Other, kind)
    }
}

fn of_device(error: &DeviceError) -> Kind {
    match error {
        DeviceError::OutOfMemory { .. } => Kind::Memory,
        DeviceError::Spelling { .. } | DeviceError::Variable { .. } => Kind::Value,
        _ => Kind::Other,
    }
}

fn of_file(error: &FileError) -> Kind {
    match error {
        FileError::Memory(_) => Kind::Memory,
        _ => Kind::Os,
    }
}

fn of_model(error: &ModelError) -> Kind {
    match error {
        ModelError::InFile { source, .. } => match of_model(source) {
            Kind::Memory => Kind::Memory,
            _ => Kind::Os,
        },
        ModelError::Dynamics(error) => of_dynamics(error),
        ModelError::File(error) => of_file(error),
        ModelError::Memory(_) => Kind::Memory,
        ModelError::Device { .. } | ModelError::NonFiniteOutput => Kind::Other,
        ModelError::NoModel { .. }
        | ModelError::Format { .. }
        | ModelError::Checksum { .. }
        | ModelError::Version { .. }
        | ModelError::Io { .. } => Kind::Os,
        _ => Kind::Value,
    }
}

fn of_dynamics(error: &DynamicsError) -> Kind {
    match error {
        DynamicsError::Config(_)
        | DynamicsError::Shape { .. }
        | DynamicsError::Units { .. }
        | DynamicsError::Unsupported { .. } => Kind::Value,
        DynamicsError::File { source, .. } => of_file(source),
        DynamicsError::Content { .. } => Kind::Os,
        DynamicsError::Memory(_) => Kind::Memory,
        _ => Kind::Other,
    }
}

fn of_data(error: &DataError) -> Kind {
    match error {
        DataError::Config(_)
        | DataError::OutOfRange { .. }
        | DataError::InMemory { .. }
        | DataError::Unmade { .. } => Kind::Value,
        DataError::Memory(_) => Kind::Memory,
        DataError::File(error) => of_file(error),
        _ => Kind::Os,
    }
}

fn of_training(error: &TrainError) -> Kind {
    match error {
        TrainError::Config(_)
        | TrainError::ConfigSyntax { .. }
        | TrainError::Mismatch { .. }
        | TrainError::OtherConfig { .. }
        | TrainError::OtherWeights { .. }
        | TrainError::Finished { .. } => Kind::Value,
        TrainError::Device(error) | TrainError::DeviceStopped { source: error, .. } => {
            of_device(error)
        }
        TrainError::Data(error) => of_data(error),
        TrainError::File(error) => of_file(error),
        TrainError::Model(error) => of_model(error),
        TrainError::Dynamics(error) => of_dynamics(error),
        TrainError::CannotBegin { source } | TrainError::Stopped { source, .. } => {
            of_training(source)
        }
        TrainError::RunDirNotEmpty { .. }
        | TrainError::NotARun { .. }
        | TrainError::Locked { .. }
        | TrainError::FolderLost { .. }
        | TrainError::LockLost { .. }
        | TrainError::FileLost { .. }
        | TrainError::NoCheckpoint { .. }
        | TrainError::Checkpoint { .. }
        | TrainError::CheckpointFormat { .. }
        | TrainError::OtherData { .. }
        | TrainError::Io { .. }
        | TrainError::Record(
            RecordError::NotARun { .. } | RecordError::Occupied { .. } | RecordError::Io { .. },
        ) => Kind::Os,
        TrainError::Record(RecordError::File(error)) => of_file(error),
        _ => Kind::Other,
    }
}

/// Does work while other threads of Python run. A panic is an exception that says what to report.
///
/// # Errors
/// The exception of what goes wrong.
pub fn work<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> PyResult<T> {
    let done = py.detach(|| answered(work).unwrap_or_else(|payload| Err(of_panic(&*payload))));
    done.map_err(|failure| failure.into_py(py))
}

fn of_panic(payload: &(dyn Any + Send)) -> Failure {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    Failure::new(
        Kind::Other,
        format!(
            "this is a bug in granule {}: {}; please report it with the call that you made: {}/issues",
            env!("CARGO_PKG_VERSION"),
            text.unwrap_or("no message"),
            env!("CARGO_PKG_REPOSITORY")
        ),
    )
}

/// Of a panic that ends as an exception nothing is printed.
pub fn keep_quiet_of_answered_panics() {
    let otherwise = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !granule::device::answers_for(panic) && !answers_for_panics() {
            otherwise(panic);
        }
    }));
}
