//! What the server says of itself while it runs: its log, and traces for OpenTelemetry.

use crate::Failure;
use bytes::Bytes;
use clap::ValueEnum;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::time::Duration;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// What is logged when TURNSTONE_LOG does not say: our own crates' news, and what others warn of.
const LOG_FILTER: &str = "warn,turnstone=info,server=info,hub=info,detect=info,workspace=info";
/// What is traced: our own crates' spans, and nothing of those that send them.
const TRACE_FILTER: &str = "off,turnstone=info,server=info,hub=info,detect=info,workspace=info";
/// Where traces are sent; the names are OpenTelemetry's own.
const ENDPOINTS: &[&str] = &["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object on a line.
    Json,
}

/// Sends what is left of the traces when it is dropped.
pub struct Traces(Option<SdkTracerProvider>);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// Starts to log, and to send traces where the environment names an endpoint.
pub fn start(format: LogFormat) -> Result<Traces, Failure> {
    let filter = EnvFilter::try_from_env("TURNSTONE_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_FILTER));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal);
    let log = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).boxed(),
    };
    let provider = provider()?;
    let spans = provider.as_ref().map(|provider| {
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("turnstone"));
        layer.with_filter(EnvFilter::new(TRACE_FILTER))
    });
    tracing_subscriber::registry().with(log.with_filter(filter)).with(spans).init();
    Ok(Traces(provider))
}

fn provider() -> Result<Option<SdkTracerProvider>, Failure> {
    if !ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some()) {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().with_http_client(Sender::new()).build();
    let exporter = exporter.map_err(|e| Failure::usage(format!("traces cannot be sent: {e}")))?;
    let resource = Resource::builder().with_service_name("turnstone").build();
    Ok(Some(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build()))
}

/// Sends traces over the client that the rest of the program uses. It blocks, on the exporter's own thread.
#[derive(Debug)]
struct Sender(ureq::Agent);

impl Sender {
    fn new() -> Sender {
        let config = ureq::Agent::config_builder().timeout_global(Some(SEND_TIMEOUT)).http_status_as_error(false);
        Sender(config.build().new_agent())
    }
}

#[async_trait::async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let mut answer = self.0.run(ureq::http::Request::from_parts(parts, body.to_vec()))?;
        let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = answer.status();
        Ok(response)
    }
}
