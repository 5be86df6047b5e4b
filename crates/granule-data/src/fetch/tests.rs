//! Against a small server on 127.0.0.1.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use sha2::{Digest, Sha256};

use super::*;
use crate::registry::{FileState, PublishedFile, verify};
use crate::text::hexadecimal;

/// How the server answers.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Whole files, and ranges of them.
    Good,
    /// Whole files, whatever is asked for.
    IgnoresRange,
    /// The first 1000 bytes of what is asked for, then it hangs up.
    BreaksOff,
    /// Other bytes of the right number.
    WrongBytes,
    /// Promises nothing and sends 10 bytes more.
    TooLong,
    /// A range that starts elsewhere than asked for.
    WrongRange,
    NotFound,
    /// Answers 200 milliseconds late.
    Slow,
    /// Accepts and says nothing.
    Silent,
    /// A byte now and then.
    Trickles,
}

struct Server {
    url: &'static str,
    requests: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Server {
    fn start(manner: Manner, content: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file.gz", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, content) = (Arc::clone(&requests), content.to_vec());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = answer(stream.unwrap(), manner, &content, &seen);
            }
        });
        Self {
            url: url.leak(),
            requests,
        }
    }

    /// Where the range of each request began, if it asked for one.
    fn requests(&self) -> Vec<Option<usize>> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    manner: Manner,
    content: &[u8],
    seen: &Mutex<Vec<Option<usize>>>,
) -> std::io::Result<()> {
    let mut start = None;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().ok();
        }
        if line.is_empty() {
            break;
        }
    }
    seen.lock().unwrap().push(start);
    let start = match manner {
        Manner::IgnoresRange => None,
        Manner::WrongRange => start.map(|start| start / 2),
        _ => start,
    };
    let total = content.len();
    let body = &content[start.unwrap_or(0)..];
    let length = body.len();
    let close = "Connection: close\r\n";
    let head = match start {
        Some(start) => format!(
            "HTTP/1.1 206 Partial Content\r\n{close}Content-Length: {length}\r\n\
             Content-Range: bytes {start}-{}/{total}\r\n\r\n",
            total - 1
        ),
        None => format!("HTTP/1.1 200 OK\r\n{close}Content-Length: {length}\r\n\r\n"),
    };
    match manner {
        Manner::Silent => {
            thread::sleep(Duration::from_secs(3));
            Ok(())
        }
        Manner::NotFound => write!(
            stream,
            "HTTP/1.1 404 Not Found\r\n{close}Content-Length: 0\r\n\r\n"
        ),
        Manner::TooLong => {
            write!(stream, "HTTP/1.1 200 OK\r\n{close}\r\n")?;
            stream.write_all(content)?;
            stream.write_all(b"0123456789")
        }
        Manner::BreaksOff => {
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body[..length.min(1000)])
        }
        Manner::WrongBytes => {
            stream.write_all(head.as_bytes())?;
            stream.write_all(&vec![b'x'; length])
        }
        Manner::Slow => {
            thread::sleep(Duration::from_millis(200));
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)
        }
        Manner::Trickles => {
            stream.write_all(head.as_bytes())?;
            for byte in body {
                stream.write_all(&[*byte])?;
                stream.flush()?;
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
        Manner::Good | Manner::IgnoresRange | Manner::WrongRange => {
            stream.write_all(head.as_bytes())?;
            stream.write_all(body)
        }
    }
}

/// An address at which nothing listens.
fn dead() -> &'static str {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    format!("http://{address}/file.gz").leak()
}

fn content() -> Vec<u8> {
    (0..3500u32).map(|i| (i * i / 7) as u8).collect()
}

fn published(mirrors: &[&'static str]) -> Published {
    let content = content();
    let mut hash = Sha256::new();
    hash.update(&content);
    let file = PublishedFile {
        name: "file.gz",
        size: content.len() as u64,
        sha256: hexadecimal(&hash.finalize()).leak(),
        mirrors: mirrors.to_vec().leak(),
        unpacked: &[],
        for_python: None,
    };
    Published {
        name: "set",
        title: "",
        licence: "",
        source: "",
        files: vec![file].leak(),
    }
}

#[derive(Default)]
struct Log {
    bytes: AtomicUsize,
    open: AtomicUsize,
    warnings: Mutex<Vec<String>>,
}

impl Progress for Log {
    fn start(&self, what: &str, total: Option<u64>) {
        assert_eq!((what, total), ("file.gz", Some(3500)));
        self.bytes.store(0, Ordering::SeqCst);
        self.open.fetch_add(1, Ordering::SeqCst);
    }
    fn advance(&self, n: u64) {
        self.bytes.fetch_add(n as usize, Ordering::SeqCst);
    }
    fn finish(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
    fn warn(&self, text: &str) {
        self.warnings.lock().unwrap().push(text.to_owned());
    }
}

/// Fast enough for the slow server, too fast for the trickling one.
const PACE: Pace = Pace {
    window: Duration::from_millis(300),
    least: 500,
};

fn agent() -> Agent {
    let timeouts = Timeouts {
        connect: Duration::from_secs(5),
        read: Duration::from_secs(2),
    };
    timeouts.config().proxy(None).build().new_agent()
}

struct Case {
    dir: tempfile::TempDir,
    set: Published,
    log: Log,
}

impl Case {
    fn new(mirrors: &[&'static str]) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            set: published(mirrors),
            log: Log::default(),
        }
    }

    fn with_part(self, bytes: &[u8]) -> Self {
        fs::write(self.dir.path().join("file.gz.part"), bytes).unwrap();
        self
    }

    fn fetch(&self) -> Result<(), DataError> {
        let result = fetch(&self.set, self.dir.path(), &agent(), PACE, &self.log);
        assert_eq!(self.log.open.load(Ordering::SeqCst), 0);
        result
    }

    #[track_caller]
    fn succeeds(&self) {
        self.fetch().unwrap();
        assert_eq!(
            fs::read(self.dir.path().join("file.gz")).unwrap(),
            content()
        );
        assert!(!self.dir.path().join("file.gz.part").exists());
        let reports = verify(&self.set, self.dir.path()).unwrap();
        assert!(reports.iter().all(|report| report.state == FileState::Ok));
    }

    #[track_caller]
    fn fails(&self, parts: &[&str]) {
        let message = self.fetch().unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
        assert!(!self.dir.path().join("file.gz").exists());
    }
}

#[test]
fn fetches_once() {
    let server = Server::start(Manner::Good, &content());
    let case = Case::new(&[server.url]);
    case.succeeds();
    assert_eq!(case.log.bytes.load(Ordering::SeqCst), 3500);
    case.succeeds();
    assert_eq!(server.requests(), [None]);
}

#[test]
fn passes_over_bad_mirrors() {
    for manner in [
        Manner::NotFound,
        Manner::WrongBytes,
        Manner::TooLong,
        Manner::Silent,
    ] {
        let bad = Server::start(manner, &content());
        let good = Server::start(Manner::Good, &content());
        let case = Case::new(&[dead(), bad.url, good.url]);
        case.succeeds();
        assert_eq!((bad.requests(), good.requests()), (vec![None], vec![None]));
        let warnings = case.log.warnings.lock().unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[1].starts_with(bad.url), "{warnings:?}");
    }
}

#[test]
fn continues_what_broke_off() {
    let bad = Server::start(Manner::BreaksOff, &content());
    let good = Server::start(Manner::Good, &content());
    Case::new(&[bad.url, good.url]).succeeds();
    assert_eq!(
        (bad.requests(), good.requests()),
        (vec![None], vec![Some(1000)])
    );

    let alone = Server::start(Manner::BreaksOff, &content());
    Case::new(&[alone.url]).succeeds();
    assert_eq!(alone.requests(), [None, Some(1000), Some(2000), Some(3000)]);
}

#[test]
fn continues_an_earlier_download() {
    let server = Server::start(Manner::Good, &content());
    let case = Case::new(&[server.url]).with_part(&content()[..1234]);
    case.succeeds();
    assert_eq!(server.requests(), [Some(1234)]);
    assert_eq!(case.log.bytes.load(Ordering::SeqCst), 3500);

    let server = Server::start(Manner::Good, &content());
    Case::new(&[server.url]).with_part(&content()).succeeds();
    assert!(server.requests().is_empty());
}

#[test]
fn starts_again_where_it_cannot_continue() {
    let server = Server::start(Manner::IgnoresRange, &content());
    Case::new(&[server.url])
        .with_part(&content()[..1234])
        .succeeds();
    assert_eq!(server.requests(), [Some(1234)]);

    let server = Server::start(Manner::WrongRange, &content());
    Case::new(&[server.url])
        .with_part(&content()[..1234])
        .succeeds();
    assert_eq!(server.requests(), [Some(1234), None]);

    let server = Server::start(Manner::Good, &content());
    Case::new(&[server.url]).with_part(&[1; 1234]).succeeds();
    assert_eq!(server.requests(), [Some(1234), None]);

    let server = Server::start(Manner::Good, &content());
    Case::new(&[server.url]).with_part(&[1; 9999]).succeeds();
    assert_eq!(server.requests(), [None]);
}

#[test]
fn says_what_every_mirror_did() {
    let wrong = Server::start(Manner::WrongBytes, &content());
    let long = Server::start(Manner::TooLong, &content());
    let short = Server::start(Manner::Good, &content()[..3000]);
    let gone = Server::start(Manner::NotFound, &content());
    let dead = dead();
    let case = Case::new(&[wrong.url, long.url, short.url, gone.url, dead]);
    case.fails(&[
        "file.gz",
        wrong.url,
        "SHA-256 is",
        long.url,
        "more than the 3500 bytes",
        short.url,
        "offers 3000 bytes",
        gone.url,
        "404",
        dead,
        "refused",
    ]);
    assert!(!case.dir.path().join("file.gz.part").exists());
}

#[test]
fn offline_says_what_is_missing_and_asks_nobody() {
    let server = Server::start(Manner::Good, &content());
    let case = Case::new(&[server.url]);
    let options = FetchOptions {
        offline: true,
        progress: None,
    };
    let missing = ensure(&case.set, case.dir.path(), &options).unwrap_err();
    assert!(matches!(missing, DataError::Missing { .. }));
    let message = missing.to_string();
    for part in [
        "file.gz",
        &case.dir.path().display().to_string(),
        "granule data fetch set",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(server.requests().is_empty());
    fs::write(case.dir.path().join("file.gz"), content()).unwrap();
    ensure(&case.set, case.dir.path(), &options).unwrap();
}

#[test]
fn two_at_once_download_once() {
    let server = Server::start(Manner::Slow, &content());
    let case = Case::new(&[server.url]);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| fetch(&case.set, case.dir.path(), &agent(), PACE, &case.log).unwrap());
        }
    });
    case.succeeds();
    assert_eq!(server.requests(), [None]);
    let warnings = case.log.warnings.lock().unwrap();
    assert!(!warnings.is_empty());
    assert!(
        warnings.iter().all(|text| text.contains("waiting")),
        "{warnings:?}"
    );
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_the_part_file_is_not_followed() {
    for length in [0, 100] {
        let server = Server::start(Manner::Good, &content());
        let case = Case::new(&[server.url]);
        let elsewhere = case.dir.path().join("mine");
        fs::write(&elsewhere, &content()[..length]).unwrap();
        std::os::unix::fs::symlink(&elsewhere, case.dir.path().join("file.gz.part")).unwrap();
        case.fetch().unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), &content()[..length]);
        let fetched = case.dir.path().join("file.gz");
        assert!(fs::symlink_metadata(&fetched).unwrap().is_file());
        assert_eq!(fs::read(&fetched).unwrap(), content());
    }
}

#[test]
fn a_mirror_that_trickles_is_given_up() {
    let first = Server::start(Manner::Trickles, &content());
    let second = Server::start(Manner::Good, &content());
    let case = Case::new(&[first.url, second.url]);
    case.fetch().unwrap();
    let warnings = case.log.warnings.lock().unwrap().clone();
    assert!(warnings[0].contains("too slow"), "{warnings:?}");
    // What came is kept.
    assert!(second.requests()[0].is_some_and(|start| start > 0));
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let case = Case::new(&[dead()]);
    let blocked = case.dir.path().join("occupied");
    fs::write(&blocked, "").unwrap();
    let error = fetch(&case.set, &blocked.join("set"), &agent(), PACE, &case.log).unwrap_err();
    assert!(error.to_string().contains("occupied"), "{error}");
}
