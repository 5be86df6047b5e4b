//! Serves a page to draw digits on: `digit_pad MODEL [--listen 127.0.0.1:8080]`.

use std::env::args_os;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use digit_pad::Pad;
use tokio::net::TcpListener;

/// After a signal, requests that are being answered have so long.
const FAREWELL: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    const USAGE: &str = "usage: digit_pad MODEL [--listen 127.0.0.1:8080]";
    let (mut model, mut address) = (None, SocketAddr::from(([127, 0, 0, 1], 8080)));
    let mut arguments = args_os().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--listen" {
            let value = arguments.next().and_then(|value| value.into_string().ok());
            address = value.ok_or(USAGE)?.parse()?;
        } else if model.replace(argument).is_some() {
            return Err(USAGE.into());
        }
    }
    let pad = Pad::new(granule::load(model.ok_or(USAGE)?)?)?;
    let listener = TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        // An answer is one small packet.
        let _ = stream.set_nodelay(true);
    });
    let (told, mut hears) = tokio::sync::watch::channel(());
    let serving = axum::serve(listener, pad.router()).with_graceful_shutdown(async move {
        signal().await;
        let _ = told.send(());
    });
    tokio::select! {
        served = serving.into_future() => served?,
        () = async {
            let _ = hears.changed().await;
            tokio::time::sleep(FAREWELL).await;
        } => {}
    }
    println!("stopped");
    Ok(())
}

/// Waits until the process is to stop.
async fn signal() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
