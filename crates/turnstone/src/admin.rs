//! `turnstone admin`: for whoever owns the machine.

use crate::Failure;
use crate::client::{Client, Refused, ServerOptions};
use crate::up::sign_in_address;
use access::{AdminToken, SecretText};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a server that runs may take until it knows the new token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_DELAY: Duration = Duration::from_millis(200);

#[derive(Subcommand)]
pub enum Command {
    /// Make a new admin token, so that the old one is good no more; with --user, also a new password for somebody.
    ///
    /// It needs the data folder and nothing else: no password, no token. A server that runs takes the new token within
    /// seconds.
    #[command(after_help = "Examples:
  turnstone admin reset
  turnstone admin reset --user ann     ann signs in with the password that is printed, and owns everything")]
    Reset(Reset),
    /// Print a link that signs you in to the portal as the administrator, once and within an hour.
    #[command(after_help = "Example:
  turnstone admin link")]
    Link(ServerOptions),
}

#[derive(Args)]
pub struct Reset {
    /// A user that is switched on, gets a new password, needs no one-time code and becomes an owner; made where there is
    /// none. The server must run.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[command(flatten)]
    server: ServerOptions,
}

pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Reset(reset) => run_reset(reset),
        Command::Link(server) => print_link(server),
    }
}

fn print_link(server: &ServerOptions) -> Result<(), Failure> {
    let client = Client::new(server)?;
    let made = client.post("/api/v1/session/links", "application/json", b"")?;
    let code = made["code"].as_str().unwrap_or_default();
    println!("{}", sign_in_address(&client.url, code));
    Ok(())
}

fn run_reset(reset: &Reset) -> Result<(), Failure> {
    let data = reset.server.data_folder();
    if !data.join("admin-token").exists() {
        return Err(Failure::usage(format!("{} is no data folder of a server; name it with --data", data.display())));
    }
    AdminToken::renew(&data).map_err(|e| Failure::run(e.to_string()))?;
    eprintln!("a new admin token is in {}; the old one is good no more", data.join("admin-token").display());
    match &reset.user {
        Some(name) => reset_user(name, reset),
        None => Ok(()),
    }
}

fn reset_user(name: &str, reset: &Reset) -> Result<(), Failure> {
    let client = Client::new(&reset.server)?;
    let started = Instant::now();
    while let Err(refused) = client.get("/api/v1/session") {
        if refused.status != 401 || started.elapsed() > TOKEN_TIMEOUT {
            return Err(refused.into());
        }
        std::thread::sleep(RETRY_DELAY);
    }
    let password = SecretText::random().map_err(|e| Failure::run(e.to_string()))?;
    let path = format!("/api/v1/users/{}", encoded(name));
    let body = |value: Value| value.to_string().into_bytes();
    let user = match client.get(&path) {
        Ok(user) => {
            let change = json!({ "isEnabled": true, "password": password.reveal() });
            client.patch(&path, &body(change))?;
            client.delete(&format!("{path}/totp"))?;
            user
        }
        Err(Refused { status: 404, .. }) => {
            let new = json!({ "name": name, "password": password.reveal() });
            client.post("/api/v1/users", "application/json", &body(new))?
        }
        Err(refused) => return Err(refused.into()),
    };
    let role = json!({ "principalId": user["id"], "role": "Owner", "scope": "/" });
    client.post("/api/v1/roleAssignments", "application/json", &body(role))?;
    eprintln!("'{name}' owns everything and signs in with this password, which is shown this once:");
    println!("{}", password.reveal());
    Ok(())
}

/// A name as a segment of a path.
fn encoded(name: &str) -> String {
    let byte = |b: u8| match b.is_ascii_alphanumeric() {
        true => (b as char).to_string(),
        false => format!("%{b:02X}"),
    };
    name.bytes().map(byte).collect()
}
