//! Ctrl-C and SIGTERM: before training they stop at once; during training the first asks for a checkpoint and the
//! second stops at once. SIGHUP keeps its meaning, so that `nohup` works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use granule::train::StopFlag;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::INTERRUPTED;

pub struct Interrupt {
    asked: Arc<AtomicBool>,
    at_once: Arc<AtomicBool>,
    pub stop: StopFlag,
}

impl Interrupt {
    pub fn install() -> anyhow::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let at_once = Arc::new(AtomicBool::new(true));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the shutdown looks at what earlier signals have set.
            flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), at_once.clone())
                .and_then(|_| flag::register(signal, at_once.clone()))
                .and_then(|_| flag::register(signal, asked.clone()))
                .context("cannot listen for Ctrl-C")?;
        }
        Ok(Self {
            asked,
            at_once,
            stop: StopFlag::new(),
        })
    }

    /// Has signals set another flag, too.
    pub fn also(&self, flag: Arc<AtomicBool>) -> anyhow::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            flag::register(signal, flag.clone()).context("cannot listen for Ctrl-C")?;
        }
        Ok(())
    }

    /// From here on there is something to save.
    pub fn be_gentle(&self) {
        self.at_once.store(false, Ordering::SeqCst);
    }

    /// Hands a request on to the run; true the first time.
    pub fn pass_on(&self) -> bool {
        let fresh = self.asked.load(Ordering::Relaxed) && !self.stop.is_stopped();
        if fresh {
            self.stop.stop();
        }
        fresh
    }
}
