//! `turnstone-agent doctor`: each thing that must work for data to arrive, in order.

use crate::ConnectionOptions;
use crate::collectors::{firewall, login, process};
use crate::sender::Sender;

pub fn run(options: &ConnectionOptions) -> Result<(), String> {
    let connection = match options.connection() {
        Ok(connection) => {
            println!("ok    connection string: device '{}' at {}", connection.device_id, connection.host);
            connection
        }
        Err(problem) => {
            println!("FAIL  connection string: {problem}");
            println!(
                "      get one from the hub with 'turnstone device create ID', and put it in a file or in TURNSTONE_CONNECTION_STRING"
            );
            return Err("something needs attention".to_owned());
        }
    };
    let sender = match Sender::new(options) {
        Ok(sender) => {
            println!("ok    certificate authority: {}", options.ca.display());
            sender
        }
        Err(problem) => {
            println!("FAIL  certificate authority: {problem}");
            println!("      copy ca.pem from the hub's data folder");
            return Err("something needs attention".to_owned());
        }
    };
    match sender.probe() {
        Ok(()) => println!("ok    hub: {} knows this device and takes its messages", connection.host),
        Err(reason) => {
            println!("FAIL  hub: {reason}");
            println!(
                "      check the address, that the hub runs, and the device's key; clocks may differ by five minutes"
            );
            return Err("something needs attention".to_owned());
        }
    }
    println!("\nWhat the collectors can see here:");
    for (name, finding) in
        [("processes", process::sight()), ("logins", login::sight()), ("firewall", firewall::sight())]
    {
        match finding {
            Ok(text) => println!("ok    {name}: {text}"),
            Err(text) => println!("blind {name}: {text}"),
        }
    }
    Ok(())
}
