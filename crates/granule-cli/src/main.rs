//! The `granule` command.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod args;
mod commands;
mod config;
mod failure;
mod flags;
mod help;
mod interrupt;
mod output;
mod plot;
mod progress;
mod verbose;
mod written;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;
use granule::io::watch::{Access, watch_files};
use granule::io::{ByteSize, budget};
use granule::train::{join_threads, most_threads};

use args::{Cli, Command, DataCommand};

/// A training step asks for the blocks of the last one, and fresh pages cost as much as the arithmetic on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An option of mimalloc (mimalloc.h) and its value of itself: another version may number its options otherwise.
struct AllocatorOption(std::ffi::c_int, std::ffi::c_long);

impl AllocatorOption {
    /// For how long freed memory is kept, in ms.
    const PURGE_DELAY: Self = Self(15, 1000);
    /// How much address space is reserved ahead at a time, in KiB.
    #[cfg(target_os = "linux")]
    const ARENA_RESERVE: Self = Self(23, 1 << 20);

    /// Sets it, unless the environment did (`MIMALLOC_PURGE_DELAY`, `MIMALLOC_ARENA_RESERVE`).
    fn set(self, value: std::ffi::c_long) {
        use std::ffi::{c_int, c_long};
        // SAFETY: these are the types; both only read and write one entry of a table that is checked for bounds.
        #[allow(unsafe_code)]
        unsafe {
            unsafe extern "C" {
                fn mi_option_get(option: c_int) -> c_long;
                fn mi_option_set(option: c_int, value: c_long);
            }
            if mi_option_get(self.0) == self.1 {
                mi_option_set(self.0, value);
            }
        }
    }
}

/// What is reserved ahead is no longer there for what asks how much a limit on the address space leaves: within a limit it
/// is reserved in small pieces, below 4 GiB not at all.
#[cfg(target_os = "linux")]
extern "C" fn reserve_within_limits() {
    let limits = [rlimit::Resource::AS, rlimit::Resource::DATA];
    let soft = limits.into_iter().filter_map(|limit| limit.get_soft().ok());
    let least = soft.min().unwrap_or(rlimit::INFINITY);
    // A 64th of it, in KiB.
    let reserve = if least < 4 << 30 { 0 } else { least >> 16 };
    if reserve < 1 << 20 {
        AllocatorOption::ARENA_RESERVE.set(std::ffi::c_long::try_from(reserve).unwrap_or(0));
        one_heap_of_the_c_library();
    }
}

/// The C library's own allocator, which serves its threads and drivers, reserves 64 MiB for every thread that asks it for a
/// byte: within a limit all share one heap.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn one_heap_of_the_c_library() {
    use std::ffi::c_int;
    /// The parameter `M_ARENA_MAX` of malloc.h.
    const ARENA_MAX: c_int = -8;
    // SAFETY: this is its type; it sets a number, before there is a second thread.
    #[allow(unsafe_code)]
    unsafe {
        unsafe extern "C" {
            fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        mallopt(ARENA_MAX, 1);
    }
}

/// Other C libraries for Linux keep no heap for each thread.
#[cfg(all(target_os = "linux", not(target_env = "gnu")))]
fn one_heap_of_the_c_library() {}

/// Called before the first allocation, which comes before `main`.
#[cfg(target_os = "linux")]
#[used]
// SAFETY: the section holds pointers to functions of C without arguments that matter here; this one neither allocates nor
// needs what the runtime of Rust sets up.
#[allow(unsafe_code)]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = reserve_within_limits;

fn main() -> ExitCode {
    // First, so that the next allocation that fails is answered already.
    #[cfg(unix)]
    failure::install_abort_handler();
    // Many steps long, but not for ever.
    AllocatorOption::PURGE_DELAY.set(10_000);
    quiet_mesa();
    bound_threads();
    failure::install_panic_hook();
    interrupt::survive_size_limit();
    on_enough_stack(command)
}

/// Runs the command on a stack of its own where the limit on that of the main thread (`ulimit -s`) is low; all other threads
/// have theirs whatever that limit is.
fn on_enough_stack(command: fn() -> ExitCode) -> ExitCode {
    const ENOUGH: usize = 8 << 20;
    #[cfg(unix)]
    if rlimit::getrlimit(rlimit::Resource::STACK).is_ok_and(|(soft, _)| soft < ENOUGH as u64 / 2)
        && let Ok(thread) = std::thread::Builder::new()
            .stack_size(ENOUGH)
            .spawn(command)
    {
        return thread.join().unwrap_or(ExitCode::from(failure::FAILED));
    }
    command()
}

fn command() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            let words: Vec<_> = std::env::args_os().skip(1).collect();
            if let Some(usage) = flags::explain(&message, &words) {
                return failure::report(&usage.into());
            }
            // A value that is too long to be read is too long to be repeated.
            let text = message.to_string();
            let short = granule::io::words::shortened(&text);
            if message.use_stderr() && short != text {
                output::note(short.trim_end());
                return ExitCode::from(failure::WRONG_USAGE);
            }
            // Help goes to standard output, whose reader may have gone.
            let _ = message.print();
            return ExitCode::from(
                u8::try_from(message.exit_code()).unwrap_or(failure::WRONG_USAGE),
            );
        }
    };
    let json = cli.command.json();
    match catch_unwind(AssertUnwindSafe(|| {
        limit_memory(cli.memory)?;
        watch_files(|access, path, bytes| {
            if access == Access::Read {
                written::was_read(path);
            }
            verbose::file(access, path, bytes);
        });
        verbose::begin(cli.verbose);
        let done = run(cli.command);
        verbose::end();
        done
    })) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            if json {
                failure::report_json(&error);
            }
            failure::report(&error)
        }
        Err(_) => ExitCode::from(failure::FAILED),
    }
}

/// Thousands of threads would wait for each other, and for the signal that ends them.
fn bound_threads() {
    const VARIABLE: &str = "RAYON_NUM_THREADS";
    let asked = std::env::var(VARIABLE).ok();
    let asked = asked.and_then(|text| text.trim().parse::<usize>().ok());
    if asked.is_some_and(|asked| asked > most_threads()) {
        set_variable(VARIABLE, &most_threads().to_string());
    }
}

/// Before any other thread runs.
fn set_variable(name: &str, value: &str) {
    // SAFETY: no other thread runs yet.
    #[allow(unsafe_code)]
    unsafe {
        std::env::set_var(name, value);
    }
}

/// Mesa's device selection complains on standard error where no login session has set this variable, as in a
/// container.
fn quiet_mesa() {
    const VARIABLE: &str = "XDG_RUNTIME_DIR";
    if cfg!(target_os = "linux") && std::env::var_os(VARIABLE).is_none() {
        set_variable(VARIABLE, "/nonexistent");
    }
}

/// Less holds no program at all, and was likely meant with a unit.
const LEAST_MEMORY: ByteSize = ByteSize(1 << 20);

/// The flag, else the variable; else what the machine has.
fn limit_memory(flag: Option<ByteSize>) -> Result<(), failure::Usage> {
    let from_environment = || {
        budget::limit_from_environment()
            .map_err(|error| failure::Usage::new(format!("{}: {error}", budget::MEMORY_VARIABLE)))
    };
    let limit = match flag {
        Some(limit) => Some(limit),
        None => from_environment()?,
    };
    if let Some(limit) = limit.filter(|limit| *limit < LEAST_MEMORY) {
        let named = match flag {
            Some(_) => "--memory",
            None => budget::MEMORY_VARIABLE,
        };
        let text = format!("{named}: {limit} is too little; the least is {LEAST_MEMORY}");
        return Err(failure::Usage::new(text).hint("with a unit, as in 2GiB or 512M"));
    }
    budget::set_limit(limit);
    Ok(())
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    if command.joins_threads() {
        join_threads();
    }
    match command {
        Command::Train(args) => return commands::train::run(&args),
        Command::Eval(args) => commands::eval::run(&args)?,
        Command::Detect(args) => commands::detect::run(&args)?,
        Command::Importance(args) => return commands::importance::run(&args),
        Command::ReceptiveFields(args) => return commands::receptive_fields::run(&args),
        Command::Predict(args) => commands::predict::run(&args)?,
        Command::Stream(args) => commands::predict::stream::run(&args)?,
        Command::Export(args) => commands::export::run(&args)?,
        Command::Import(args) => commands::import::run(&args)?,
        Command::Report(args) => commands::report::run(&args)?,
        Command::Runs(args) => commands::runs::run(&args)?,
        Command::Compare(args) => commands::compare::run(&args)?,
        Command::Simulate(args) => return commands::simulate::run(&args),
        Command::Analyze(args) => return commands::analyze::run(&args),
        Command::Probe(args) => return commands::probe::run(&args),
        Command::Presets(args) => commands::presets::run(&args)?,
        Command::Config(args) => commands::config::run(&args)?,
        Command::Completions(args) => commands::completions::run(&args)?,
        Command::Devices(args) => commands::devices::run(&args)?,
        Command::Bench(args) => return commands::bench::run(&args),
        Command::Data(args) => match args.command {
            DataCommand::List { folder, json } => commands::data::list(&folder, json)?,
            DataCommand::Fetch { name, source, json } => {
                commands::data::fetch(&name, &source, json)?
            }
            DataCommand::Verify { name, folder, json } => {
                return commands::data::verify(&name, &folder, json);
            }
            DataCommand::Inspect { path, json } => commands::data::inspect(&path, json)?,
            DataCommand::Preview {
                name,
                out,
                columns,
                rows,
                range,
                transpose,
                source,
            } => {
                let arrays = granule::data::arrays::ArrayOptions {
                    range,
                    layout: None,
                    transpose,
                    targets: None,
                };
                commands::data::preview(&name, &source, &out, [columns, rows], arrays)?;
            }
        },
    }
    Ok(ExitCode::SUCCESS)
}
