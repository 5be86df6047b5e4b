//! What the machine has free, and what this process holds.

/// Kept back for all that is allocated without asking: threads, decoders, small vectors.
const KEPT_BACK: u64 = 16 << 20;

/// Bytes that this process can still take; `u64::MAX` when nothing says.
pub(super) fn free() -> u64 {
    system::free().saturating_sub(KEPT_BACK)
}

/// Bytes of memory that this process occupies.
pub(super) fn resident() -> u64 {
    system::resident()
}

/// What a limit of this process leaves.
#[cfg(unix)]
fn left(resource: rlimit::Resource, used: impl FnOnce() -> u64) -> u64 {
    match resource.get_soft() {
        Ok(limit) if limit < rlimit::INFINITY => limit.saturating_sub(used()),
        _ => u64::MAX,
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs;
    use std::path::Path;

    pub fn free() -> u64 {
        let root = Path::new("/");
        let status = || fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = [
            super::left(rlimit::Resource::AS, || {
                kilobytes(&status(), "VmSize:").unwrap_or(0)
            }),
            super::left(rlimit::Resource::DATA, || {
                kilobytes(&status(), "VmData:").unwrap_or(0)
            }),
        ];
        let free = available(root).min(group(root));
        limits.into_iter().fold(free, u64::min)
    }

    pub fn resident() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        kilobytes(&status, "VmRSS:").unwrap_or(0)
    }

    /// What the kernel could hand out without swapping.
    fn available(root: &Path) -> u64 {
        fs::read_to_string(root.join("proc/meminfo"))
            .ok()
            .and_then(|text| kilobytes(&text, "MemAvailable:"))
            .unwrap_or(u64::MAX)
    }

    /// What the control group leaves, and every group above it.
    fn group(root: &Path) -> u64 {
        let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let mut free = u64::MAX;
        for line in text.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
                continue;
            };
            let names = match controllers {
                "" => &UNIFIED,
                _ if controllers.split(',').any(|name| name == "memory") => &SEPARATE,
                _ => continue,
            };
            let mount = root.join(names.mount);
            let inside = mount.join(path.trim_start_matches('/'));
            // In a container the path may be the host's, of which the mount shows only the end: its root.
            for folder in inside
                .ancestors()
                .take_while(|folder| folder.starts_with(&mount))
            {
                free = free.min(names.left(folder).unwrap_or(u64::MAX));
            }
        }
        free
    }

    /// The files of one version of control groups.
    struct Names {
        mount: &'static str,
        limit: &'static str,
        usage: &'static str,
        /// Pages of files that are given up when memory is short.
        cache: [&'static str; 2],
    }

    const UNIFIED: Names = Names {
        mount: "sys/fs/cgroup",
        limit: "memory.max",
        usage: "memory.current",
        cache: ["inactive_file ", "active_file "],
    };

    const SEPARATE: Names = Names {
        mount: "sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        usage: "memory.usage_in_bytes",
        cache: ["total_inactive_file ", "total_active_file "],
    };

    impl Names {
        fn left(&self, folder: &Path) -> Option<u64> {
            let number = |name| {
                fs::read_to_string(folder.join(name))
                    .ok()?
                    .trim()
                    .parse()
                    .ok()
            };
            let limit: u64 = number(self.limit)?;
            let usage: u64 = number(self.usage)?;
            let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
            let cache = self
                .cache
                .iter()
                .filter_map(|key| statistics.lines().find_map(|line| line.strip_prefix(key)))
                .filter_map(|number| number.trim().parse::<u64>().ok())
                .fold(0, u64::saturating_add);
            Some(limit.saturating_sub(usage.saturating_sub(cache)))
        }
    }

    /// The number behind `key`, in bytes.
    fn kilobytes(text: &str, key: &str) -> Option<u64> {
        let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
        let number: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
        number.checked_mul(1024)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// A machine whose files are these.
        fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
            let root = tempfile::tempdir().unwrap();
            for (name, content) in files {
                let path = root.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            root
        }

        #[test]
        fn the_kernel_says_what_is_available() {
            let root = machine(&[(
                "proc/meminfo",
                "MemTotal:       24684544 kB\nMemFree:          482000 kB\nMemAvailable:   18485000 kB\n",
            )]);
            assert_eq!(available(root.path()), 18_485_000 * 1024);
            assert_eq!(available(Path::new("/nowhere")), u64::MAX);
            assert!((1 << 20..1 << 50).contains(&available(Path::new("/"))));
            assert!((1 << 16..1 << 40).contains(&resident()));
        }

        #[test]
        fn the_narrowest_group_above_the_process_counts_without_its_cache() {
            let root = machine(&[
                ("proc/self/cgroup", "0::/jobs/mine\n"),
                ("sys/fs/cgroup/jobs/memory.max", "1000000\n"),
                ("sys/fs/cgroup/jobs/memory.current", "700000\n"),
                (
                    "sys/fs/cgroup/jobs/memory.stat",
                    "anon 300000\ninactive_file 150000\nactive_file 50000\n",
                ),
                ("sys/fs/cgroup/jobs/mine/memory.max", "max\n"),
                ("sys/fs/cgroup/jobs/mine/memory.current", "600000\n"),
            ]);
            assert_eq!(group(root.path()), 500_000);
        }

        #[test]
        fn groups_of_the_first_version_and_of_a_container_are_understood() {
            let root = machine(&[
                (
                    "proc/self/cgroup",
                    "4:cpu,memory:/docker/0123\n1:name=systemd:/x\n0::/\n",
                ),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "4000000\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "3000000\n"),
                (
                    "sys/fs/cgroup/memory/memory.stat",
                    "cache 9\ntotal_inactive_file 500000\n",
                ),
            ]);
            assert_eq!(group(root.path()), 1_500_000);
            assert_eq!(group(Path::new("/nowhere")), u64::MAX);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::sync::{Mutex, PoisonError};

    use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

    pub fn free() -> u64 {
        let mut system = System::new();
        system.refresh_memory();
        // Some systems do not say what they could give up, and answer 0.
        let free = match system.available_memory() {
            0 => system.free_memory(),
            available => available,
        };
        let free = if free == 0 { u64::MAX } else { free };
        #[cfg(unix)]
        let free = free.min(super::left(rlimit::Resource::AS, || process().1));
        free
    }

    pub fn resident() -> u64 {
        process().0
    }

    /// Resident and virtual bytes.
    fn process() -> (u64, u64) {
        static SYSTEM: Mutex<Option<System>> = Mutex::new(None);
        let Ok(id) = sysinfo::get_current_pid() else {
            return (0, 0);
        };
        let mut guard = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
        let system = guard.get_or_insert_with(System::new);
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[id]),
            false,
            ProcessRefreshKind::nothing().with_memory(),
        );
        let memory = |process: &sysinfo::Process| (process.memory(), process.virtual_memory());
        system.process(id).map_or((0, 0), memory)
    }
}
