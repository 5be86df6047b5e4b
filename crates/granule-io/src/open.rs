//! The one way in which files are opened: nothing waits for the other end of a pipe, and what is no file is told by its
//! name.

use std::fmt;
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Something other than a file, where a file was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotRegular(pub &'static str);

impl fmt::Display for NotRegular {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is {}, not a file", self.0)
    }
}

impl std::error::Error for NotRegular {}

impl NotRegular {
    /// What an error of [`open_regular`] says stands there.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// What a place holds that is no file, with its article.
pub(crate) fn kind(of: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if of.is_fifo() {
            return "a pipe";
        }
        if of.is_socket() {
            return "a socket";
        }
    }
    if of.is_dir() { "a folder" } else { "a device" }
}

/// Whether a path names what this process has open already, as `/dev/stdin` and a shell's `<(command)` do.
pub(crate) fn is_descriptor(path: &Path) -> bool {
    let standard = ["/dev/stdin", "/dev/stdout", "/dev/stderr"];
    let named = standard.iter().any(|name| path == Path::new(name));
    let own = format!("/proc/{}/fd", std::process::id());
    let folders = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd", &own];
    let number = path.file_name().and_then(|name| name.to_str());
    let number = number.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let within = |folder: &Path| folders.iter().any(|own| folder == Path::new(own));
    named || number && path.parent().is_some_and(within)
}

/// Opens a file for reading, without waiting. A pipe, a socket, a device or a folder is refused, save what the path of an
/// open descriptor names, which may be a pipe.
///
/// # Errors
/// The system's, and `InvalidInput` that says what stands there instead of a file.
pub fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    opened(path, File::options().read(true))
}

/// Opens a file to hold a lock on, and makes it where there is none.
///
/// # Errors
/// As [`open_regular`].
pub fn open_lock(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    Ok(opened(path, &mut options)?.0)
}

fn opened(path: &Path, options: &mut OpenOptions) -> io::Result<(File, Metadata)> {
    let refused = |kind| io::Error::new(io::ErrorKind::InvalidInput, NotRegular(kind));
    let descriptor = is_descriptor(path);
    // Asked first, for to open a pipe wakes who waits to write into it, and to open a device may set it going.
    match std::fs::metadata(path).map(|found| found.file_type()) {
        Ok(found) if found.is_dir() || !(descriptor || found.is_file()) => {
            return Err(refused(kind(found)));
        }
        _ => {}
    }
    #[cfg(unix)]
    if !descriptor {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    let found = metadata.file_type();
    if found.is_file() || descriptor && !found.is_dir() {
        Ok((file, metadata))
    } else {
        Err(refused(kind(found)))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixListener;
    use std::process::Command;

    use super::*;
    use crate::{Bound, FileError, check_writable, image, open, read, write_atomic};

    #[test]
    fn whatever_is_no_file_is_refused_at_once_by_readers_and_writers() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        assert!(
            Command::new("mkfifo")
                .arg(at("fifo"))
                .status()
                .unwrap()
                .success()
        );
        let _socket = UnixListener::bind(at("socket")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        let cases = [
            (at("fifo"), "a pipe"),
            (at("socket"), "a socket"),
            (at("folder"), "a folder"),
            ("/dev/zero".into(), "a device"),
        ];
        for (path, kind) in cases {
            let told = [
                read(&path, Bound::CONFIGURATION).unwrap_err().to_string(),
                open(&path, "a model").unwrap_err().to_string(),
                image::read(&path).unwrap_err().to_string(),
                open_lock(&path).unwrap_err().to_string(),
                write_atomic(&path, b"x").unwrap_err().to_string(),
                check_writable(&path).unwrap_err().to_string(),
            ];
            for text in told {
                assert!(text.contains(kind), "{}: {text}", path.display());
            }
            assert!(path.symlink_metadata().is_ok_and(|found| !found.is_file()));
        }
        assert!(matches!(
            write_atomic(Path::new("/dev/stdout"), b"x"),
            Err(FileError::NotReplaced { .. })
        ));
    }

    #[test]
    fn an_open_pipe_is_read_by_the_path_of_its_descriptor() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let writing = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            io::Write::write_all(&mut writer, b"late").unwrap();
        });
        let bytes = read(Path::new(&path), Bound::CONFIGURATION);
        writing.join().unwrap();
        // Of the two ends the path may have opened one anew; what was written came through it.
        drop(reader);
        assert_eq!(bytes.unwrap(), b"late");
        assert!(is_descriptor(Path::new("/dev/fd/63")) && !is_descriptor(Path::new("/dev/null")));
        let mut text = String::new();
        let (mut file, _) = open_regular(Path::new("/proc/self/status")).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert!(text.contains("VmSize"));
    }
}
