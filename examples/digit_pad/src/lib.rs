//! A server that classifies what is drawn in a browser.

pub mod metrics;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use granule::Classifier;
use granule::models::{InputShape, Sample};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::Semaphore;

use metrics::Metrics;

/// From the arrival of a request to its answer; a body that is too large is read, and thrown away, for as long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Drawings that are classified at once; others wait.
const AT_ONCE: usize = 64;

/// A model and what is told of its use.
#[derive(Debug)]
pub struct Pad {
    classifier: Classifier,
    metrics: Metrics,
    permits: Semaphore,
    patience: Duration,
    description: String,
}

/// What a request is answered with instead of probabilities.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Refusal {
    fn new(status: StatusCode, reason: impl ToString) -> Self {
        let reason = reason.to_string();
        Self { status, reason }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        as_json(self.status, json!({"error": self.reason}).to_string())
    }
}

fn as_json(status: StatusCode, json: String) -> Response {
    let kind = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, kind)], json).into_response()
}

impl Pad {
    /// Around a classifier of images.
    pub fn new(classifier: Classifier) -> Result<Self, String> {
        let InputShape::Image {
            channels,
            height,
            width,
        } = classifier.input().shape
        else {
            return Err(format!(
                "the model takes {}, not images",
                classifier.input().shape
            ));
        };
        let description = json!({
            "channels": channels, "height": height, "width": width, "classes": classifier.classes(),
        });
        Ok(Self {
            metrics: Metrics::new(&classifier),
            description: description.to_string(),
            permits: Semaphore::new(AT_ONCE),
            patience: PATIENCE,
            classifier,
        })
    }

    /// With another time from the arrival of a request to its answer.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The pages: `/`, `/model`, `/predict` and `/metrics`.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", get(async || Html(include_str!("page.html"))))
            .route("/model", get(describe))
            .route("/predict", post(predict))
            .route("/metrics", get(metrics))
            .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "there is no such page"))
            .with_state(Arc::new(self))
    }

    /// The pixels of a body, in the order channel, row, column. Of one that is too large nothing is kept, but it is read:
    /// a client that is still writing hears no answer.
    async fn pixels(&self, body: Body) -> Result<Vec<u8>, Refusal> {
        let expected = self.classifier.input().shape.len();
        let (mut pixels, mut found) = (Vec::with_capacity(expected), 0_usize);
        let mut body = pin!(body);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error))?;
            let Some(data) = frame.data_ref() else {
                continue;
            };
            found = found.saturating_add(data.len());
            if found <= expected {
                pixels.extend_from_slice(data);
            } else {
                pixels = Vec::new();
            }
        }
        let status = match found {
            _ if found > expected => StatusCode::PAYLOAD_TOO_LARGE,
            _ if found < expected => StatusCode::BAD_REQUEST,
            _ => return Ok(pixels),
        };
        let shape = self.classifier.input().shape;
        Err(Refusal::new(
            status,
            format!("the model takes {expected} bytes, {shape}, and {found} were sent"),
        ))
    }

    /// The answer to a drawing, and how long it was computed.
    async fn answer(&self, body: Body) -> Result<String, Refusal> {
        let pixels = self.pixels(body).await?;
        let permit = self.permits.acquire().await;
        let _permit =
            permit.map_err(|error| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error))?;
        let began = Instant::now();
        let mut probabilities = vec![0.0; self.classifier.classes().len()];
        self.classifier
            .predict_into(Sample::Pixels(&pixels), &mut probabilities)
            .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
        let took = began.elapsed();
        self.metrics.note(&pixels, &probabilities);
        Ok(json!({
            "probabilities": probabilities,
            "milliseconds": 1e3 * took.as_secs_f64(),
        })
        .to_string())
    }
}

async fn describe(State(pad): State<Arc<Pad>>) -> Response {
    as_json(StatusCode::OK, pad.description.clone())
}

async fn predict(State(pad): State<Arc<Pad>>, request: Request) -> Response {
    let began = Instant::now();
    let answer = tokio::time::timeout(pad.patience, pad.answer(request.into_body())).await;
    let response = match answer {
        Ok(Ok(json)) => as_json(StatusCode::OK, json),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => {
            let reason = format!("the request took longer than {:?}", pad.patience);
            let mut response = Refusal::new(StatusCode::REQUEST_TIMEOUT, reason).into_response();
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            response
        }
    };
    pad.metrics.answered(response.status(), began.elapsed());
    response
}

async fn metrics(State(pad): State<Arc<Pad>>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], pad.metrics.text()).into_response()
}
