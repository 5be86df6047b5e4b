//! Headless Chromium by its DevTools protocol.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// One page of a browser of its own.
pub struct Browser {
    child: Child,
    socket: TcpStream,
    asked: u64,
    _folder: tempfile::TempDir,
}

/// Where Chromium is, if it is.
pub fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut found =
        std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    named.or_else(|| found.find(|path| path.is_file()))
}

impl Browser {
    pub fn start(chromium: &PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut profile = std::ffi::OsString::from("--user-data-dir=");
        profile.push(folder.path());
        let child = Command::new(chromium)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--hide-scrollbars",
            ])
            .args([
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--remote-debugging-port=0",
            ])
            .arg(profile)
            .arg("about:blank")
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let port = waiting("the browser's port", || {
            let text = std::fs::read_to_string(folder.path().join("DevToolsActivePort")).ok()?;
            text.lines().next()?.parse::<u16>().ok()
        });
        let path = waiting("a page", || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            let request = "GET /json/list HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            // It leaves the connection open.
            let head = String::from_utf8(read_head(&mut stream)?).ok()?;
            let mut lines = head.lines().map(str::to_ascii_lowercase);
            let len = lines
                .find_map(|line| Some(line.strip_prefix("content-length:")?.trim().to_owned()));
            let mut body = vec![0; len?.parse().ok()?];
            stream.read_exact(&mut body).ok()?;
            let pages: Value = serde_json::from_slice(&body).ok()?;
            let mut pages = pages.as_array()?.iter();
            let page = pages.find(|page| page["type"] == "page")?;
            let address = page["webSocketDebuggerUrl"].as_str()?.to_owned();
            Some(address.splitn(4, '/').nth(3)?.to_owned())
        });
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let request = format!(
            "GET /{path} HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let head = read_head(&mut socket).unwrap();
        assert!(
            head.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        Self {
            child,
            socket,
            asked: 0,
            _folder: folder,
        }
    }

    /// Has the browser do something, and gives what it answers.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let message = json!({"id": self.asked, "method": method, "params": params}).to_string();
        self.write(message.as_bytes());
        loop {
            let answer: Value = serde_json::from_slice(&self.read()).unwrap();
            if answer["id"] == self.asked {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The value of an expression in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", params);
        assert!(
            result.get("exceptionDetails").is_none(),
            "{expression}: {result}"
        );
        result["result"]["value"].clone()
    }

    /// Waits until an expression in the page is true.
    pub fn wait(&mut self, expression: &str) {
        waiting(expression, || {
            (self.value(expression) == true).then_some(())
        });
    }

    /// What is seen of the page's body.
    pub fn screenshot(&mut self) -> Vec<u8> {
        let clip = "(({x, y, width, bottom}) => ({x, y, width, height: Math.min(bottom, innerHeight) - y, scale: 1}))\
                    (document.body.getBoundingClientRect())";
        let params = json!({"format": "png", "clip": self.value(clip)});
        let shot = self.call("Page.captureScreenshot", params);
        decode(shot["data"].as_str().unwrap())
    }

    /// A frame of text; clients mask theirs, here by zeros.
    fn write(&mut self, message: &[u8]) {
        let mut frame = vec![0x81];
        match message.len() {
            len @ ..126 => frame.push(0x80 | len as u8),
            len @ 126..0x1_0000 => {
                frame.push(0x80 | 126);
                frame.extend((len as u16).to_be_bytes());
            }
            len => {
                frame.push(0x80 | 127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(message);
        self.socket.write_all(&frame).unwrap();
    }

    /// The next message.
    fn read(&mut self) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            let [first, second] = self.bytes::<2>();
            let len = match second {
                126 => u64::from(u16::from_be_bytes(self.bytes())),
                127 => u64::from_be_bytes(self.bytes()),
                len => u64::from(len),
            };
            let from = message.len();
            message.resize(from + len as usize, 0);
            self.socket.read_exact(&mut message[from..]).unwrap();
            match first & 0x0f {
                // Pings and the like are no part of it.
                8.. => message.truncate(from),
                _ if first & 0x80 != 0 => return message,
                _ => {}
            }
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.socket.read_exact(&mut bytes).unwrap();
        bytes
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The head of an answer, with the empty line after it.
fn read_head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(head)
}

fn waiting<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        if let Some(found) = found() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("waited too long for {what}");
}

/// Base64 (RFC 4648).
fn decode(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for value in text.bytes().filter_map(value) {
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
