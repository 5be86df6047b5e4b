//! The threads that kernels run on.

/// Makes the calling thread one of those that the kernels it calls run on, for as long as it lives: it then takes its part of
/// a kernel itself instead of handing all of it over and waiting, which takes longer than many kernels do. For the main thread
/// of a program; nothing changes for other threads. No result depends on it.
///
/// There are as many threads as the machine has cores, or as `RAYON_NUM_THREADS` says, this one included. Whether it
/// succeeded: it does not on a thread that is one of a pool already.
pub fn join_threads() -> bool {
    match rayon::ThreadPoolBuilder::new().use_current_thread().build() {
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

/// The most threads that are of any use on this machine.
pub fn most_threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (FOR_A_CORE * cores).max(64)
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
