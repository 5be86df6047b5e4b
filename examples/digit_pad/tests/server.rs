//! The server from outside: bad requests, many at once, metrics, an end.
#![allow(missing_docs)]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use granule::models::Profile;
use serde_json::Value;
use support::{Server, model};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PIXELS: usize = 28 * 28;

fn request(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /predict HTTP/1.1\r\nhost: pad\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Status and body of an answer.
fn parsed(answer: &[u8]) -> (u16, String) {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.unwrap_or(0), body.to_owned())
}

fn send(server: &Server, bytes: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    parsed(&answer)
}

fn get(server: &Server, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: pad\r\nconnection: close\r\n\r\n");
    send(server, request.as_bytes())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_drawing_has_probabilities_soon() {
    let server = Server::start(&model(None));
    let (status, body) = get(&server, "/model");
    assert_eq!(status, 200);
    assert_eq!(json(&body)["width"], 28);
    assert!(get(&server, "/").1.contains("<canvas"));
    let (status, body) = get(&server, "/no-such-page");
    assert_eq!(status, 404);
    assert!(json(&body)["error"].is_string());
    let mut slowest = Duration::ZERO;
    for shade in 0..50 {
        let began = Instant::now();
        let (status, body) = send(&server, &request(&[shade; PIXELS]));
        slowest = slowest.max(began.elapsed());
        assert_eq!(status, 200, "{body}");
        let answer = json(&body);
        let probabilities = answer["probabilities"].as_array().unwrap();
        let sum: f64 = probabilities.iter().filter_map(Value::as_f64).sum();
        assert_eq!(probabilities.len(), 10);
        assert!((sum - 1.0).abs() < 1e-5);
        assert!(answer["milliseconds"].as_f64().unwrap() < 20.0, "{body}");
    }
    println!("the slowest of 50 answers, connection included: {slowest:?}");
}

#[test]
fn what_is_no_drawing_is_refused_in_json() {
    let server = Server::start(&model(None));
    for (len, expected) in [(0, 400), (PIXELS - 1, 400), (PIXELS + 1, 413)] {
        let (status, body) = send(&server, &request(&vec![0; len]));
        assert_eq!(status, expected);
        let reason = json(&body)["error"].as_str().unwrap().to_owned();
        assert!(reason.contains("784"), "{reason}");
    }
    // 100 MiB, which are nowhere kept.
    let before = server.memory();
    let (status, body) = send(&server, &request(&vec![7; 100 << 20]));
    assert_eq!(status, 413);
    assert!(json(&body)["error"].as_str().unwrap().contains("104857600"));
    if let (Some(before), Some(peak)) = (before, server.peak_memory()) {
        assert!(peak < before + (32 << 20), "{before} {peak}");
    }
    // One that stops in the middle.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(&request(&[0; PIXELS])[..300]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let (status, _) = get(&server, "/metrics");
    assert_eq!(status, 200);
    let (status, body) = send(&server, b"nonsense\r\n\r\n");
    assert_eq!(status, 400, "{body}");
    let (status, _) = get(&server, "/predict");
    assert_eq!(status, 405);
}

#[test]
fn a_request_that_takes_too_long_is_ended() {
    let server = Server::start(&model(None));
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let began = Instant::now();
    stream.write_all(&request(&[0; PIXELS])[..300]).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let (status, body) = parsed(&answer);
    assert_eq!(status, 408, "{body}");
    assert!(json(&body)["error"].as_str().unwrap().contains("longer"));
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(4) && took < Duration::from_secs(20),
        "{took:?}"
    );
}

#[test]
fn of_a_thousand_requests_at_once_none_is_lost() {
    let server = Server::start(&model(None));
    let before = server.memory();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let address = server.address();
    let began = Instant::now();
    let statuses = runtime.block_on(async {
        let meeting = std::sync::Arc::new(tokio::sync::Barrier::new(1000));
        let all = (0..1000).map(|i| {
            let meeting = meeting.clone();
            tokio::spawn(async move {
                let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                // All are connected before one asks.
                meeting.wait().await;
                stream
                    .write_all(&request(&[i as u8; PIXELS]))
                    .await
                    .unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).await.unwrap();
                parsed(&answer).0
            })
        });
        let mut statuses = Vec::new();
        for one in all.collect::<Vec<_>>() {
            statuses.push(one.await.unwrap());
        }
        statuses
    });
    println!("1,000 requests at once took {:?}", began.elapsed());
    assert_eq!(statuses, [200; 1000]);
    if let (Some(before), Some(peak)) = (before, server.peak_memory()) {
        println!("memory grew from {before} to {peak} bytes");
        assert!(peak < before + (96 << 20), "{before} {peak}");
    }
    let (_, metrics) = get(&server, "/metrics");
    assert!(
        metrics.contains("granule_requests_total{status=\"200\"} 1000\n"),
        "{metrics}"
    );
}

/// The value of a line of the metrics.
fn metric(text: &str, name: &str) -> f64 {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
    let value = lines.next().unwrap_or_else(|| panic!("{name} in {text}"));
    value.trim().parse().unwrap()
}

#[test]
fn metrics_count_and_tell_of_drift() {
    let mut intensities = vec![0; Profile::BINS];
    (intensities[0], intensities[15]) = (900, 100);
    let trained = Profile {
        intensities,
        predictions: vec![100; 10],
    };
    let server = Server::start(&model(Some(trained)));
    let mut like_training = [0; PIXELS];
    like_training[..PIXELS / 10].fill(255);
    for _ in 0..20 {
        assert_eq!(send(&server, &request(&like_training)).0, 200);
    }
    send(&server, &request(&[]));
    let (_, text) = get(&server, "/metrics");
    assert_eq!(
        metric(&text, "granule_requests_total{status=\"200\"}"),
        20.0
    );
    assert_eq!(metric(&text, "granule_requests_total{status=\"400\"}"), 1.0);
    assert_eq!(
        metric(&text, "granule_request_duration_seconds_count"),
        21.0
    );
    assert_eq!(
        metric(
            &text,
            "granule_request_duration_seconds_bucket{le=\"+Inf\"}"
        ),
        21.0
    );
    let median = metric(
        &text,
        "granule_request_duration_quantile_seconds{quantile=\"0.5\"}",
    );
    assert!(median > 0.0 && median < 0.02, "{median}");
    let alike = metric(&text, "granule_input_drift");
    assert!(alike < 0.1, "{alike}");
    // Always the same class, of ten that were as frequent.
    assert!(metric(&text, "granule_prediction_drift") > 0.25);
    for _ in 0..40 {
        send(&server, &request(&[128; PIXELS]));
    }
    let (_, text) = get(&server, "/metrics");
    assert!(metric(&text, "granule_input_drift") > 0.25);
    let counted = text
        .lines()
        .filter(|line| line.starts_with("granule_predictions_total"));
    let counts = counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    assert_eq!(counts.sum::<u64>(), 60);

    // A file without histograms says so, and works.
    let server = Server::start(&model(None));
    let (_, text) = get(&server, "/metrics");
    assert!(text.contains("# granule_input_drift is not there"));
    assert!(
        !text
            .lines()
            .any(|line| line.starts_with("granule_input_drift"))
    );
}

#[test]
#[cfg(unix)]
fn a_signal_ends_it_after_what_is_being_answered() {
    for signal in ["-INT", "-TERM"] {
        let mut server = Server::start(&model(None));
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let bytes = request(&[9; PIXELS]);
        stream.write_all(&bytes[..400]).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        server.signal(signal);
        std::thread::sleep(Duration::from_millis(200));
        // New ones are not taken; this one is answered to its end.
        stream.write_all(&bytes[400..]).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(parsed(&answer).0, 200, "{signal}");
        assert!(server.ended_well(), "{signal}");
        assert!(TcpStream::connect(server.address()).is_err());
    }
}

#[test]
fn what_is_no_classifier_of_images_is_refused() {
    let wrong = Server::fails(std::path::Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(wrong.contains("error:"), "{wrong}");
}
