//! `turnstone device`.

use crate::Failure;
use crate::client::{Client, ServerOptions};
use crate::output::{Format, Result as Table};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Subcommand)]
pub enum Command {
    /// Make a device and print its connection string.
    #[command(after_help = "Example:
  turnstone device create pump-07 --host hub.example:8443")]
    Create {
        /// The device's id.
        id: String,
        /// The host, and port, by which the device reaches this server.
        #[arg(long, value_name = "HOST:PORT")]
        host: Option<String>,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Make a module of a device and print its connection string.
    CreateModule {
        /// The device's id.
        device: String,
        /// The module's id.
        id: String,
        /// The host, and port, by which the device reaches this server.
        #[arg(long, value_name = "HOST:PORT")]
        host: Option<String>,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// List all devices.
    List {
        /// How to print.
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Show a device and its connection string.
    Show {
        /// The device's id.
        id: String,
        /// The host, and port, by which the device reaches this server.
        #[arg(long, value_name = "HOST:PORT")]
        host: Option<String>,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Delete a device; it can send no more.
    Delete {
        /// The device's id.
        id: String,
        #[command(flatten)]
        server: ServerOptions,
    },
}

/// An id as a segment of a path.
fn path(id: &str) -> Result<String, Failure> {
    if !iothub::is_valid_id(id) {
        return Err(Failure::usage(format!(
            "'{id}' is no device id: 1 to 128 ASCII letters, digits or any of - . % _ * ? ! ( ) , : = @ $ '"
        )));
    }
    let encoded: String = id
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect();
    Ok(format!("/api/v1/devices/{encoded}"))
}

fn print(device: &Value, host: Option<&String>, server: &ServerOptions) {
    let https = crate::settings::Endpoints::load(&server.data_folder()).map(|e| e.https);
    let fallback = https.map_or_else(|| "localhost:8443".to_owned(), |u| u.trim_start_matches("https://").to_owned());
    let host = host.unwrap_or(&fallback);
    println!(
        "HostName={host};DeviceId={}{};SharedAccessKey={}",
        device["deviceId"].as_str().unwrap_or(""),
        device["moduleId"].as_str().map(|m| format!(";ModuleId={m}")).unwrap_or_default(),
        device["primaryKey"].as_str().unwrap_or("")
    );
}

pub fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create { id, host, server } => {
            let device = Client::new(server)?.put(&path(id)?)?;
            print(&device, host.as_ref(), server);
        }
        Command::CreateModule { device, id, host, server } => {
            let module = path(id)?.replace("/api/v1/devices", "/modules");
            let made = Client::new(server)?.put(&format!("{}{module}", path(device)?))?;
            print(&made, host.as_ref(), server);
        }
        Command::Show { id, host, server } => {
            let device = Client::new(server)?.get(&path(id)?)?;
            let state = if device["isEnabled"] == json!(true) { "enabled" } else { "disabled" };
            eprintln!("{id}: {state}, created {}", device["createdTime"].as_str().unwrap_or(""));
            print(&device, host.as_ref(), server);
        }
        Command::List { format, server } => {
            let client = Client::new(server)?;
            let mut devices: Vec<Value> = Vec::new();
            let mut next = Some("/api/v1/devices".to_owned());
            while let Some(page) = next {
                let answer = client.get(&page)?;
                devices.extend(answer["value"].as_array().into_iter().flatten().cloned());
                next = answer["nextLink"].as_str().map(str::to_owned);
            }
            let row = |d: &Value| vec![d["deviceId"].clone(), d["isEnabled"].clone(), d["createdTime"].clone()];
            let names = ["DeviceId", "IsEnabled", "CreatedTime"].map(str::to_owned).to_vec();
            print!("{}", Table { names, rows: devices.iter().map(row).collect() }.print(*format));
        }
        Command::Delete { id, server } => {
            Client::new(server)?.delete(&path(id)?)?;
        }
    }
    Ok(())
}
