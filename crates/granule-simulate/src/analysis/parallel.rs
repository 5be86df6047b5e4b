//! Runs that do not know each other, as many at a time as there are processors.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use granule_dynamics::DynamicsError;

/// After so long somebody is asked whether the runs are to go on.
const HEARD: Duration = Duration::from_millis(50);

/// What `work` makes of each number below `count`, in their order. `heard` is told how many are done, again and again; when it
/// fails, or one of them does, the others are asked to stop by the flag that they see.
///
/// # Errors
///
/// Those of the first number that failed, or of `heard`.
pub(super) fn side_by_side<T: Send>(
    count: usize,
    heard: &dyn Fn(usize) -> Result<(), DynamicsError>,
    work: &(dyn Fn(usize, &AtomicBool) -> Result<T, DynamicsError> + Sync),
) -> Result<Vec<T>, DynamicsError> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(count);
    let mut all: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let mut failed: Option<(usize, DynamicsError)> = None;
    std::thread::scope(|scope| {
        let (sender, receiver) = channel();
        for _ in 0..threads {
            let sender = sender.clone();
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    // Somebody hears of it as long as this runs.
                    let _ = sender.send((index, work(index, stop)));
                }
            });
        }
        drop(sender);
        let mut done = 0;
        loop {
            match receiver.recv_timeout(HEARD) {
                Ok((index, Ok(found))) => {
                    done += 1;
                    if let Some(place) = all.get_mut(index) {
                        *place = Some(found);
                    }
                }
                Ok((index, Err(error))) => {
                    done += 1;
                    stop.store(true, Ordering::Relaxed);
                    // That others were stopped is no reason of its own.
                    let first = failed.as_ref().is_none_or(|(other, known)| {
                        matches!(known, DynamicsError::Stopped)
                            || (index < *other && !matches!(error, DynamicsError::Stopped))
                    });
                    if first {
                        failed = Some((index, error));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if let Err(error) = heard(done) {
                stop.store(true, Ordering::Relaxed);
                failed = failed.take().or(Some((count, error)));
            }
        }
    });
    match failed {
        Some((_, error)) => Err(error),
        None => Ok(all.into_iter().flatten().collect()),
    }
}
