//! Ctrl-C and SIGTERM: before training they stop at once; during training the first asks for a checkpoint and the
//! second stops at once. So does SIGHUP, when the terminal goes, unless it is ignored, as `nohup` has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use granule::train::StopFlag;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use crate::failure::INTERRUPTED;

pub struct Interrupt {
    asked: Arc<AtomicBool>,
    at_once: Arc<AtomicBool>,
    signals: Vec<i32>,
    pub stop: StopFlag,
}

/// A write beyond the limit of file sizes (`ulimit -f`) fails, which is reported, instead of ending the process.
pub fn survive_size_limit() {
    // Where it cannot be heard of, it keeps its meaning.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Whether the process was started with a signal ignored; not known outside Linux.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(signal - 1)
        .ok()
        .and_then(|place| 1_u64.checked_shl(place));
    mask.zip(bit).is_some_and(|(mask, bit)| mask & bit != 0)
}

impl Interrupt {
    pub fn install() -> anyhow::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let at_once = Arc::new(AtomicBool::new(true));
        let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        let signals: Vec<i32> = [SIGINT, SIGTERM].into_iter().chain(hangup).collect();
        for &signal in &signals {
            // In this order: the shutdown looks at what earlier signals have set.
            flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), at_once.clone())
                .and_then(|_| flag::register(signal, at_once.clone()))
                .and_then(|_| flag::register(signal, asked.clone()))
                .context("cannot listen for Ctrl-C")?;
        }
        Ok(Self {
            asked,
            at_once,
            signals,
            stop: StopFlag::new(),
        })
    }

    /// Has signals set another flag, too.
    pub fn also(&self, flag: Arc<AtomicBool>) -> anyhow::Result<()> {
        for &signal in &self.signals {
            flag::register(signal, flag.clone()).context("cannot listen for Ctrl-C")?;
        }
        Ok(())
    }

    /// From here on there is something to save.
    pub fn be_gentle(&self) {
        self.at_once.store(false, Ordering::SeqCst);
    }

    /// Whether a signal has come.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Hands a request on to the run; true the first time.
    pub fn pass_on(&self) -> bool {
        let fresh = self.is_asked() && !self.stop.is_stopped();
        if fresh {
            self.stop.stop();
        }
        fresh
    }
}
