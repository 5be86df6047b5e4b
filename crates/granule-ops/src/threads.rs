//! The threads that kernels run on.

/// Makes the calling thread one of those that the kernels it calls run on, for as long as it lives: it then takes its part of
/// a kernel itself instead of handing all of it over and waiting, which takes longer than many kernels do. For the main thread
/// of a program; nothing changes for other threads. No result depends on it.
///
/// There are as many threads as the machine has cores, or as `RAYON_NUM_THREADS` says, this one included. Whether it
/// succeeded: it does not on a thread that is one of a pool already.
pub fn join_threads() -> bool {
    let threads = rayon::ThreadPoolBuilder::new().num_threads(wanted());
    match threads.use_current_thread().build() {
        Ok(pool) => {
            // Dropped, it would end the other threads.
            core::mem::forget(pool);
            true
        }
        Err(_) => false,
    }
}

/// The most threads for each core: more would only wait for each other.
const FOR_A_CORE: usize = 8;

/// How many threads there are to be: as `RAYON_NUM_THREADS` says, as many as cores where it says nothing, and no more than is of
/// any use.
fn wanted() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let said = std::env::var("RAYON_NUM_THREADS").ok();
    let said = said.and_then(|text| text.trim().parse().ok());
    let said = said.filter(|threads| *threads > 0).unwrap_or(cores);
    said.min((FOR_A_CORE * cores).max(64))
}

/// Begins the threads that kernels run on, of which there would be too many, or none where the system grants none, at the first
/// kernel: then the calling thread is the only one. Whether it was the first to do so.
pub fn begin_threads() -> bool {
    let many = || rayon::ThreadPoolBuilder::new().num_threads(wanted());
    let alone = || {
        rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .use_current_thread()
    };
    many().build_global().is_ok() || alone().build_global().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_joins_once() {
        let thread = std::thread::spawn(|| {
            let joined = [join_threads(), join_threads()];
            (joined, rayon::current_thread_index())
        });
        assert_eq!(thread.join().unwrap(), ([true, false], Some(0)));
        assert_eq!(rayon::current_thread_index(), None);
    }
}
