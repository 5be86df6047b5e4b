//! The page in a real browser, at the widths of a desk and of a hand.
//!
//! `DIGIT_PAD_MODEL=FILE` has it tell digits with a trained model; without one the model is as it was drawn.
//! `DIGIT_PAD_SHOTS=FOLDER` keeps the screenshots.
#![allow(missing_docs)]

mod support;

use serde_json::{Value, json};
use support::browser::{Browser, chromium};
use support::{Server, model};

/// Strokes in a square from 0 to 1.
type Strokes = &'static [&'static [(f64, f64)]];

const ONE: Strokes = &[&[(0.5, 0.15), (0.5, 0.4), (0.5, 0.6), (0.5, 0.85)]];
const SEVEN: Strokes = &[&[
    (0.25, 0.2),
    (0.5, 0.2),
    (0.74, 0.2),
    (0.62, 0.45),
    (0.5, 0.65),
    (0.42, 0.85),
]];

/// Draws with the mouse, or with a finger.
fn draw(page: &mut Browser, strokes: Strokes, finger: bool) {
    let pad = page.value("(({x, y, width}) => [x, y, width])(pad.getBoundingClientRect())");
    let [x, y, width] = [0, 1, 2].map(|i| pad[i].as_f64().unwrap());
    for stroke in strokes {
        for (i, (right, down)) in stroke.iter().enumerate() {
            let (x, y) = (x + right * width, y + down * width);
            if finger {
                let kind = if i == 0 { "touchStart" } else { "touchMove" };
                let params = json!({"type": kind, "touchPoints": [{"x": x, "y": y}]});
                page.call("Input.dispatchTouchEvent", params);
            } else {
                let kind = if i == 0 { "mousePressed" } else { "mouseMoved" };
                let params = json!({"type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1});
                page.call("Input.dispatchMouseEvent", params);
            }
        }
        if finger {
            page.call(
                "Input.dispatchTouchEvent",
                json!({"type": "touchEnd", "touchPoints": []}),
            );
        } else {
            let params =
                json!({"type": "mouseReleased", "x": x, "y": y, "button": "left", "clickCount": 1});
            page.call("Input.dispatchMouseEvent", params);
        }
    }
    page.wait("!asking && !waiting");
}

/// The shares that the page shows, in percent.
fn shares(page: &mut Browser) -> Vec<f64> {
    let shown = page.value("rows.map(row => parseFloat(row.querySelector('.share').textContent))");
    shown
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_f64)
        .collect()
}

#[test]
fn a_digit_is_drawn_with_mouse_and_finger() {
    let Some(chromium) = chromium() else {
        println!("skipped: there is no chromium here");
        return;
    };
    let trained = std::env::var_os("DIGIT_PAD_MODEL");
    let server = match &trained {
        Some(path) => Server::of(path.as_ref()),
        None => Server::start(&model(None)),
    };
    let mut page = Browser::start(&chromium);
    page.call("Page.enable", json!({}));
    for (width, height, finger, strokes, expected) in
        [(1280, 720, false, SEVEN, "7"), (375, 720, true, ONE, "1")]
    {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": finger});
        page.call("Emulation.setDeviceMetricsOverride", size);
        page.call(
            "Emulation.setTouchEmulationEnabled",
            json!({"enabled": finger}),
        );
        page.call(
            "Page.navigate",
            json!({"url": format!("http://{}/", server.address())}),
        );
        page.wait("typeof rows !== 'undefined' && rows.length === 10");
        // Nothing lies beside the page.
        assert_eq!(
            page.value("document.documentElement.scrollWidth <= innerWidth"),
            true
        );
        assert!(shares(&mut page).is_empty());

        // While it is drawn there are answers already.
        page.value("window.answers = 0; const ask_ = fetch; window.fetch = (...what) => { answers++; return ask_(...what) }");
        draw(&mut page, strokes, finger);
        assert!(page.value("answers").as_f64().unwrap() >= 2.0);
        let found = shares(&mut page);
        assert_eq!(found.len(), 10);
        assert!((found.iter().sum::<f64>() - 100.0).abs() < 1.0, "{found:?}");
        // All rows are seen at once, and none is higher for what it says.
        let seen = "rows.every(row => row.getBoundingClientRect().bottom <= innerHeight)";
        assert_eq!(page.value(seen), true);
        let even = "new Set(rows.map(row => Math.round(row.getBoundingClientRect().height))).size";
        assert_eq!(page.value(even), 1);
        let ink = page.value("pixels().reduce((sum, pixel) => sum + pixel, 0)");
        assert!(ink.as_f64().unwrap() > 2000.0, "{ink}");
        let best = page.value("document.querySelector('li.best span').textContent");
        println!("{width} pixels wide: {best} of {found:?}");
        if trained.is_some() {
            assert_eq!(best, expected);
        }
        let shot = page.screenshot();
        assert!(shot.starts_with(b"\x89PNG"));
        if let Some(folder) = std::env::var_os("DIGIT_PAD_SHOTS") {
            let path = std::path::Path::new(&folder).join(format!("digit-pad-{width}.png"));
            std::fs::write(path, shot).unwrap();
        }
        page.value("document.getElementById('clear').click()");
        assert!(shares(&mut page).is_empty());
    }
}
