//! `turnstone up`: everything in one process, and the local agent beside it.

use crate::Failure;
use crate::settings::{Endpoints, Instance, default_data_folder};
use crate::telemetry::{self, LogFormat};
use access::Access;
use clap::Args;
use detect::Fleet;
use engine::external::ExternalReader;
use engine::{Limits, Session};
use hub::https::Door;
use hub::{Hubs, Registry};
use iothub::ConnectionString;
use resources::Resources;
use server::external::AllowedHosts;
use server::queries::Queries;
use server::sign_in::oidc::Provider;
use server::{Addresses, Bounds, CollectionRules, Directory, Metrics, NotApplied, Services, Start, listen, tls};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use workspace::{AppendOnly, Workspaces};

/// The database that a first start makes.
const DATABASE: &str = "default";
/// Planning goes as deep as an expression is long. What is not used costs nothing.
pub const QUERY_STACK_BYTES: usize = 512 << 20;
/// How long the local agent has to end by itself.
const AGENT_STOP_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Args)]
#[command(after_help = "Examples:
  turnstone up                             with a local agent, in the user's data folder
  turnstone up --raw-events                also store the raw events that devices send
  turnstone up --data /srv/turnstone --https 0.0.0.0:8443 --no-agent")]
pub struct Options {
    /// The folder for everything that is kept.
    #[arg(long, env = "TURNSTONE_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen for plain HTTP; loopback only. Port 0 takes a free one.
    #[arg(long, env = "TURNSTONE_HTTP", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    http: SocketAddr,
    /// Where to listen for HTTPS.
    #[arg(long, env = "TURNSTONE_HTTPS", default_value = "0.0.0.0:8443", value_name = "ADDRESS")]
    https: SocketAddr,
    /// Megabytes that rows may take in memory until they are in table files, requests included; beyond, senders are
    /// asked to wait. By default a quarter of the machine's memory, at least 256.
    #[arg(long, env = "TURNSTONE_INGEST_MEMORY_MB", value_name = "MB")]
    ingest_memory_mb: Option<usize>,
    /// Rows that came so many seconds ago are moved from the log to table files at the latest.
    #[arg(long, env = "TURNSTONE_FLUSH_SECONDS", default_value_t = 300, value_name = "SECONDS")]
    flush_seconds: u64,
    /// How often table files are looked through for small ones to merge and old ones to remove.
    #[arg(long, env = "TURNSTONE_MAINTENANCE_SECONDS", default_value_t = 60, value_name = "SECONDS")]
    maintenance_seconds: u64,
    /// Megabytes of table files that queries have read and that are kept in memory for the next. By default a third of
    /// the machine's memory.
    #[arg(long, env = "TURNSTONE_CACHE_MEMORY_MB", value_name = "MB")]
    cache_memory_mb: Option<usize>,
    /// Store the raw events that devices send, in SecurityIoTRawEvent: from now on, until the settings of the solution say
    /// otherwise.
    #[arg(long, env = "TURNSTONE_RAW_EVENTS")]
    raw_events: bool,
    /// A host that queries may read files from with 'externaldata', as host or host:port; may be given several times.
    #[arg(long, env = "TURNSTONE_EXTERNAL_DATA_HOSTS", value_name = "HOST", value_delimiter = ',')]
    external_data_host: Vec<String>,
    /// The certificate chain for HTTPS, as PEM, in the place of one of our own authority. Read again when it changes.
    #[arg(long, env = "TURNSTONE_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The private key of that certificate, as PEM.
    #[arg(long, env = "TURNSTONE_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// The address of this server as browsers and clients see it, where a proxy stands before it: https://host[:port].
    #[arg(long, env = "TURNSTONE_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    #[command(flatten)]
    oidc: Oidc,
    /// Days that the audit is kept.
    #[arg(long, env = "TURNSTONE_AUDIT_DAYS", default_value_t = 730, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(30..))]
    audit_days: u32,
    /// The form of the log on standard error.
    #[arg(long, env = "TURNSTONE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Start no agent for this machine itself.
    #[arg(long, env = "TURNSTONE_NO_AGENT")]
    no_agent: bool,
}

/// An outside provider that people sign in with.
#[derive(Args)]
struct Oidc {
    /// An OpenID Connect provider that people can sign in with; they may do nothing until somebody gives them a role.
    #[arg(long, env = "TURNSTONE_OIDC_ISSUER", value_name = "URL", requires_all = ["oidc_client_id", "oidc_client_secret_file"])]
    oidc_issuer: Option<String>,
    /// What the provider knows this server by.
    #[arg(long, env = "TURNSTONE_OIDC_CLIENT_ID", value_name = "ID")]
    oidc_client_id: Option<String>,
    /// The file with the secret that goes with it.
    #[arg(long, env = "TURNSTONE_OIDC_CLIENT_SECRET_FILE", value_name = "FILE")]
    oidc_client_secret_file: Option<PathBuf>,
    /// A certificate authority to trust for the provider, as PEM, beside the machine's.
    #[arg(long, env = "TURNSTONE_OIDC_CA", value_name = "FILE")]
    oidc_ca: Option<PathBuf>,
}

impl Oidc {
    fn provider(&self, public_url: Option<&str>) -> Result<Option<Arc<Provider>>, Failure> {
        let (Some(issuer), Some(id), Some(secret)) =
            (&self.oidc_issuer, &self.oidc_client_id, &self.oidc_client_secret_file)
        else {
            return Ok(None);
        };
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))
        };
        let secret = read(secret)?;
        let authority = self.oidc_ca.as_ref().map(read).transpose()?;
        let provider = Provider::new(
            issuer,
            id,
            secret.trim_end_matches(['\r', '\n']),
            authority.as_deref().map(str::as_bytes),
            public_url,
        );
        provider.map(|provider| Some(Arc::new(provider))).map_err(Failure::usage)
    }
}

pub fn run(options: Options) -> Result<(), Failure> {
    let traces = telemetry::start(options.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::run)?;
    // Queries have threads of their own: a heavy one keeps no device waiting.
    let queries = tokio::runtime::Builder::new_multi_thread()
        .thread_name("query")
        .thread_stack_size(QUERY_STACK_BYTES)
        .enable_all()
        .build()
        .map_err(Failure::run)?;
    let result = runtime.block_on(serve(options, queries.handle().clone()));
    // Queries that are still computing do not hold up the end.
    queries.shutdown_background();
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(traces);
    result
}

async fn serve(options: Options, query_threads: Handle) -> Result<(), Failure> {
    // First of all, so that a stop at any moment from here on is one in order.
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::run)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::run)?;
    let log_format = options.log_format;
    let data = options.data.unwrap_or_else(default_data_folder);
    make_private(&data).map_err(|e| Failure::run(format!("{}: {e}", data.display())))?;
    let public_url = options.public_url.as_deref().map(checked_url).transpose()?;
    let provider = options.oidc.provider(public_url.as_deref())?;
    let mut workspace_options = workspace::Options {
        append_only: vec![
            AppendOnly {
                database: DATABASE.to_owned(),
                table: server::audit::TABLE.to_owned(),
                days: Some(options.audit_days),
            },
            AppendOnly {
                database: detect::intake::INTERNAL_DATABASE.to_owned(),
                table: detect::intake::WINDOW_TABLE.to_owned(),
                days: None,
            },
        ],
        solution: Some(detect::tables::SOLUTION.to_owned()),
        flush_seconds: options.flush_seconds,
        maintenance_seconds: options.maintenance_seconds,
        ..workspace::Options::default()
    };
    if let Some(megabytes) = options.cache_memory_mb {
        workspace_options.cache_bytes = megabytes.saturating_mul(1 << 20);
    }
    if let Some(megabytes) = options.ingest_memory_mb {
        workspace_options.waiting_bytes_max = megabytes.saturating_mul(1 << 20);
    }
    let workspaces = Workspaces::open(&data.join("workspace"), workspace_options)
        .await
        .map_err(|e| Failure::run(format!("failed to open the workspace: {e}")))?;
    tls::ensure_certificates(&data).map_err(|e| Failure::run(format!("failed to {e}")))?;
    let is_first_start = !data.join("admin-token").exists();
    let access = Access::open(&data).await.map_err(|e| Failure::run(format!("failed to open the principals: {e}")))?;
    let instance = Instance::load_or_create(&data)?;
    let session = Session::new(Limits::default()).map_err(Failure::run)?;
    let hubs = Hubs::open(&data.join("hub.sqlite"))
        .await
        .map_err(|e| Failure::run(format!("failed to open the registry: {e}")))?;
    let resources = Resources::open(&data.join("resources.sqlite"))
        .await
        .map_err(|e| Failure::run(format!("failed to open the resources: {e}")))?;
    let collection_rules = CollectionRules::open(&resources).await.map_err(Failure::run)?;
    let start = Start {
        subscription: instance.subscription_id.clone(),
        workspace_id: instance.workspace_id.clone(),
        database: DATABASE.to_owned(),
        stores_raw_events: options.raw_events,
    };
    let directory = Directory::open(resources, start).await.map_err(Failure::run)?;
    detect::intake::create_tables(&workspaces, DATABASE).await.map_err(Failure::run)?;
    let fleet = Arc::new(Fleet::new(workspaces.clone(), session.clone()));
    match directory.apply(&hubs, &fleet, &workspaces).await {
        // It is in the log, and can be mended by whoever the interface lets in.
        Err(NotApplied::Detection(_)) | Ok(()) => {}
        Err(error) => return Err(Failure::run(format!("failed to watch the hubs: {error}"))),
    }
    let door = Arc::new(Door { hubs: hubs.clone(), intake: fleet.clone() });
    let external = AllowedHosts::new(&options.external_data_host).map(|hosts| hosts as Arc<dyn ExternalReader>);
    let failed = |e: listen::Error| Failure::run(format!("failed to {e}"));
    let http = listen::bind_http(options.http).map_err(failed)?;
    let https = listen::bind_https(options.https).map_err(failed)?;
    let services = Services {
        access,
        directory,
        hubs: hubs.clone(),
        fleet,
        collection_rules,
        provider,
        addresses: Addresses {
            http_port: http.address.port(),
            https_port: https.address.port(),
            public_url,
            authority: match options.tls_certificate {
                Some(_) => None,
                None => Some(std::fs::read_to_string(data.join("ca.pem")).map_err(Failure::run)?),
            },
        },
        workspace_id: instance.workspace_id.clone(),
        data_folder: data.canonicalize().map_err(Failure::run)?,
        workspaces: workspaces.clone(),
        queries: Queries::new(session, query_threads, external),
        default_database: DATABASE.to_owned(),
        bounds: Bounds::default(),
        metrics: Metrics::default(),
    };
    let services = Arc::new(services);
    services.clone().start_senders().await.map_err(Failure::run)?;
    let router = server::router(services.clone(), hub::https::router(door));
    let certificate = match (options.tls_certificate, options.tls_key) {
        (Some(certificate), Some(key)) => listen::Certificate { certificate, key },
        _ => listen::Certificate { certificate: data.join("server.pem"), key: data.join("server.key") },
    };
    let endpoints = Endpoints {
        http: format!("http://{}", http.address),
        https: format!("https://localhost:{}", https.address.port()),
    };
    let stop = listen::Stop::default();
    let mut servers = tokio::task::JoinSet::new();
    servers.spawn({
        let (router, stop) = (router.clone(), stop.clone());
        async move { listen::serve_http(http, router, &stop).await }
    });
    servers.spawn({
        let stop = stop.clone();
        async move { listen::serve_https(https, router, certificate, &stop).await }
    });
    endpoints.save(&data).map_err(|e| Failure::run(format!("{}: {e}", data.display())))?;
    let agent = if options.no_agent { None } else { start_agent(&data, &endpoints, &hubs.of_host("")).await };
    println!("turnstone is ready at {} and {}", endpoints.http, endpoints.https);
    if log_format == LogFormat::Text {
        guide(&endpoints, &data, is_first_start.then_some(&services.access))?;
    }

    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = servers.join_next() => ended,
    };
    if let Some(Ok(Err(error))) = ended {
        return Err(failed(error));
    }
    tracing::info!("stopping");
    if let Some(agent) = agent {
        stop_agent(agent).await;
    }
    stop.stop();
    while servers.join_next().await.is_some() {}
    workspaces.close().await;
    Ok(())
}

/// An address without a slash at its end; only TLS is public.
fn checked_url(url: &str) -> Result<String, Failure> {
    let url = url.trim_end_matches('/');
    match url.strip_prefix("https://").is_some_and(|host| !host.is_empty() && !host.contains('/')) {
        true => Ok(url.to_owned()),
        false => Err(Failure::usage(format!("'{url}' is no address of the form https://host[:port]"))),
    }
}

/// Makes the data folder one that only its owner may look into: it holds keys, tokens and what devices report.
fn make_private(data: &Path) -> std::io::Result<()> {
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    std::fs::create_dir_all(data)?;
    std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o700))
}

/// What to try next. Whoever starts the program for the first time gets a link that signs in, once; but not into the journal
/// of a service, which others may read.
fn guide(endpoints: &Endpoints, data: &Path, first: Option<&Access>) -> Result<(), Failure> {
    let flag = if data == default_data_folder() { String::new() } else { format!(" --data {}", data.display()) };
    eprintln!(
        "
Portal: {}/ui/",
        endpoints.http
    );
    let is_service = std::env::var_os("JOURNAL_STREAM").is_some();
    match first.filter(|_| !is_service) {
        Some(access) => {
            let code = access.sign_in_link().map_err(|e| Failure::run(e.to_string()))?;
            let address = sign_in_address(&endpoints.http, code.reveal());
            eprintln!("  sign in with this link, once and within an hour:\n  {address}");
        }
        None => eprintln!("  `turnstone admin link{flag}` prints a link that signs you in"),
    }
    eprintln!(
        "
Try next:
  turnstone query{flag} 'SecurityRecommendation | project TimeGenerated, DeviceId, RecommendationSeverity, RecommendationDisplayName'
  turnstone query{flag} 'SecurityAlert | take 10'
  turnstone doctor{flag}
"
    );
    Ok(())
}

/// The address of the page that signs in by a code, which stands where browsers keep it to themselves.
pub fn sign_in_address(server: &str, code: &str) -> String {
    format!("{server}/ui/sign-in#code={code}")
}

/// Starts the agent for this machine, with an identity of its own. That there is none to start is no failure of the
/// server: it says so and goes on.
async fn start_agent(data: &Path, endpoints: &Endpoints, registry: &Registry) -> Option<tokio::process::Child> {
    let program = std::env::current_exe().ok()?.with_file_name("turnstone-agent");
    if !program.exists() {
        tracing::warn!(program = %program.display(), "there is no agent program beside this one; this machine is not watched");
        return None;
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let device_id: String = name.trim().chars().filter(|c| iothub::is_valid_id(&c.to_string())).collect();
    let device_id = if device_id.is_empty() { "this-machine".to_owned() } else { device_id };
    let device = match registry.device(&device_id).await {
        Ok(Some(device)) => device,
        Ok(None) => registry.create_device(&device_id).await.ok()?,
        Err(error) => {
            tracing::error!(%error, "the local agent has no identity");
            return None;
        }
    };
    let connection = ConnectionString {
        host: endpoints.https.trim_start_matches("https://").to_owned(),
        device_id,
        module_id: None,
        key: device.primary_key,
    };
    let folder = data.join("agent");
    let path = folder.join("connection-string");
    let written = std::fs::create_dir_all(&folder).and_then(|()| {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        std::io::Write::write_all(&mut file, connection.reveal().as_bytes())
    });
    if let Err(error) = written {
        tracing::error!(%error, path = %path.display(), "the local agent's connection string was not written");
        return None;
    }
    let started = tokio::process::Command::new(&program)
        .arg("run")
        .arg("--connection-string-file")
        .arg(&path)
        .arg("--state")
        .arg(&folder)
        .arg("--ca")
        .arg(data.join("ca.pem"))
        .args(["--snapshot-seconds", "60", "--stop-with-parent"])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn();
    started.inspect_err(|error| tracing::error!(%error, "the local agent did not start")).ok()
}

/// Asks the agent to end, and ends it when it does not.
async fn stop_agent(mut agent: tokio::process::Child) {
    if let Some(id) = agent.id().and_then(|id| i32::try_from(id).ok()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM);
    }
    if tokio::time::timeout(AGENT_STOP_TIMEOUT, agent.wait()).await.is_err() {
        let _ = agent.kill().await;
    }
}
