//! Sign-ins as programs log them through syslog: sshd, su, login, sudo.

use super::item;
use crate::event::Happening;
use chrono::{Datelike, NaiveDate, TimeZone};
use kql::datetime::{self, Parts};
use serde_json::json;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads lines in their order. Times without a year are given one that goes on when December is over.
pub struct AuthLog {
    year: Option<i64>,
    last_month: i64,
}

/// What a line says of a sign-in.
struct Login {
    user: String,
    address: Option<String>,
    port: Option<String>,
    is_success: bool,
    operation: &'static str,
    times: usize,
}

impl AuthLog {
    /// `year` is that of the first line; without one, the latest in which a line does not lie ahead of now.
    pub fn new(year: Option<i64>) -> AuthLog {
        AuthLog { year, last_month: 0 }
    }

    /// The sign-in that a line tells of, if it does.
    pub fn login(&mut self, line: &str) -> Option<Happening> {
        let (ticks, rest) = self.time(line)?;
        let (_host, rest) = rest.trim_start().split_once(' ')?;
        let (tag, message) = rest.split_once(": ")?;
        let (program, pid) = match tag.split_once('[') {
            Some((program, pid)) => (program, pid.trim_end_matches(']').parse().unwrap_or(0)),
            None => (tag, 0u32),
        };
        let login = parse(program, message)?;
        let executable = match program {
            "sshd" | "sshd-session" => "/usr/sbin/sshd",
            "su" => "/bin/su",
            "sudo" => "/usr/bin/sudo",
            _ => "/bin/login",
        };
        let mut found = item(json!({
            "ProcessId": pid,
            "UserName": login.user,
            "Operation": login.operation,
            "Executable": executable,
            "Result": if login.is_success { "Success" } else { "Fail" },
        }));
        if let Some(address) = login.address {
            found.insert("RemoteAddress".to_owned(), json!(address));
        }
        if let Some(port) = login.port {
            found.insert("RemotePort".to_owned(), json!(port));
        }
        if login.times > 1 {
            found.insert("ExtraDetails".to_owned(), json!({ "HitCount": login.times.to_string() }));
        }
        Some(Happening::new("Login", ticks, found))
    }

    /// The time at the start of a line, in ticks, and what follows it.
    fn time<'l>(&mut self, line: &'l str) -> Option<(i64, &'l str)> {
        if line.as_bytes().first()?.is_ascii_digit() {
            let (time, rest) = line.split_once(' ')?;
            return Some((datetime::parse(time)?, rest));
        }
        // `Nov 18 18:10:29`, in this machine's time zone.
        let month = MONTHS.iter().position(|m| line.get(..3) == Some(*m))? as i64 + 1;
        let day: i64 = line.get(4..6)?.trim().parse().ok()?;
        let clock: Vec<i64> = line.get(7..15)?.split(':').map(|p| p.parse().ok()).collect::<Option<_>>()?;
        let [hour, minute, second] = clock.as_slice() else { return None };
        let at = |year: i64| {
            let date = NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
            let naive = date.and_hms_opt(*hour as u32, *minute as u32, *second as u32)?;
            let local = chrono::Local.from_local_datetime(&naive).earliest()?;
            Some(datetime::from_unix_micros(local.timestamp_micros()))
        };
        let year = match self.year {
            // December is followed by January of the next year.
            Some(year) if month < self.last_month && self.last_month - month > 6 => year + 1,
            Some(year) => year,
            None => {
                let this_year = Parts::of(datetime::now()).year.max(i64::from(chrono::Local::now().year()));
                let tomorrow = datetime::now() + kql::timespan::TICKS_PER_DAY;
                if at(this_year).is_some_and(|t| t <= tomorrow) { this_year } else { this_year - 1 }
            }
        };
        if self.year.is_some() {
            self.year = Some(year);
        }
        self.last_month = month;
        Some((at(year)?, &line[15..]))
    }
}

fn parse(program: &str, message: &str) -> Option<Login> {
    // `message repeated 3 times: [ Failed password … ]`
    if let Some(rest) = message.strip_prefix("message repeated ") {
        let (times, inner) = rest.split_once(" times: [ ")?;
        let login = parse(program, inner.trim_end_matches([']', ' ']))?;
        return Some(Login { times: times.parse().ok()?, ..login });
    }
    match program {
        "sshd" | "sshd-session" => ssh(message),
        "su" => su(message),
        "sudo" => sudo(message),
        "login" => login(message),
        _ => None,
    }
}

/// `Failed password for invalid user admin from 198.51.100.23 port 4242 ssh2`
fn ssh(message: &str) -> Option<Login> {
    let is_success = message.starts_with("Accepted ");
    if !is_success && !message.starts_with("Failed ") {
        return None;
    }
    let (_, rest) = message.split_once(" for ")?;
    let rest = rest.strip_prefix("invalid user ").unwrap_or(rest);
    // A user name may hold blanks, even " from ": the address is behind the last one.
    let (user, rest) = rest.rsplit_once(" from ")?;
    let mut words = rest.split_whitespace();
    let address = words.next()?.to_owned();
    let port = words.skip_while(|w| *w != "port").nth(1).filter(|p| p.parse::<u16>().is_ok()).map(str::to_owned);
    let user = user.to_owned();
    Some(Login { user, address: Some(address), port, is_success, operation: "PAM:authentication", times: 1 })
}

fn local(user: &str, is_success: bool, operation: &'static str) -> Login {
    Login { user: user.to_owned(), address: None, port: None, is_success, operation, times: 1 }
}

/// `FAILED SU (to root) pump on pts/0`, `(to root) pump on pts/0`.
fn su(message: &str) -> Option<Login> {
    let (is_success, rest) = match message.strip_prefix("FAILED SU ") {
        Some(rest) => (false, rest),
        None => (true, message),
    };
    let (user, _) = rest.strip_prefix("(to ")?.split_once(')')?;
    Some(local(user, is_success, "PAM:authentication"))
}

/// `pam_unix(sudo:auth): authentication failure; … user=pump`
fn sudo(message: &str) -> Option<Login> {
    let details = message.strip_prefix("pam_unix(sudo:auth): authentication failure;")?;
    let user = details.split_whitespace().rev().find_map(|w| w.strip_prefix("user="))?;
    Some(local(user, false, "PAM:authentication"))
}

/// `FAILED LOGIN (1) on '/dev/tty1' FOR 'root', …`, `ROOT LOGIN on '/dev/tty1'`, `LOGIN ON tty1 BY pump`.
fn login(message: &str) -> Option<Login> {
    if message.starts_with("FAILED LOGIN") {
        let (_, rest) = message.split_once("FOR ")?;
        let user = rest.trim_start_matches('\'').split(['\'', ',']).next()?;
        return Some(local(user, false, "login"));
    }
    if message.starts_with("ROOT LOGIN") {
        return Some(local("root", true, "login"));
    }
    let (_, user) = message.strip_prefix("LOGIN ON ")?.split_once(" BY ")?;
    Some(local(user.split_whitespace().next()?, true, "login"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Option<Happening> {
        AuthLog::new(Some(2019)).login(line)
    }

    #[test]
    fn ssh_lines() {
        let failed = one(
            "Nov 18 18:10:29 gw sshd[955]: Failed password for invalid user ad min from 198.51.100.23 port 4242 ssh2",
        )
        .expect("a login");
        assert_eq!(failed.item["UserName"], "ad min");
        assert_eq!(failed.item["RemoteAddress"], "198.51.100.23");
        assert_eq!(failed.item["RemotePort"], "4242");
        assert_eq!((&failed.item["Result"], &failed.item["ProcessId"]), (&json!("Fail"), &json!(955)));
        let accepted =
            one("2026-03-02T10:00:00.123456+01:00 gw sshd[1]: Accepted publickey for pump from ::1 port 1 ssh2: RSA x")
                .expect("a login");
        assert_eq!(accepted.item["Result"], "Success");
        assert_eq!(datetime::format_short(accepted.ticks), "2026-03-02T09:00:00.123456Z");
        assert!(
            one("Nov 18 18:10:29 gw sshd[955]: Invalid user admin from 198.51.100.23 port 1").is_none(),
            "told once, by Failed"
        );
        assert!(one("Nov 18 18:10:29 gw CRON[9]: pam_unix(cron:session): session opened for user root").is_none());
        assert!(one("nonsense").is_none() && one("").is_none());
    }

    #[test]
    fn local_lines() {
        let result = |line: &str| one(line).map(|h| (h.item["UserName"].clone(), h.item["Result"].clone()));
        assert_eq!(
            result("Nov 18 18:10:29 gw su[1]: FAILED SU (to root) pump on pts/0"),
            Some((json!("root"), json!("Fail")))
        );
        assert_eq!(result("Nov 18 18:10:29 gw su: (to root) pump on pts/0"), Some((json!("root"), json!("Success"))));
        assert_eq!(
            result("Nov  8 18:10:29 gw login[2]: FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure"),
            Some((json!("root"), json!("Fail")))
        );
        assert_eq!(
            result("Nov 18 18:10:29 gw login[2]: LOGIN ON tty1 BY pump"),
            Some((json!("pump"), json!("Success")))
        );
    }

    #[test]
    fn repeated_messages_count() {
        let line = "Nov 18 18:10:29 gw sshd[9]: message repeated 3 times: [ Failed password for root from 192.0.2.1 port 2 ssh2]";
        assert_eq!(one(line).expect("a login").item["ExtraDetails"]["HitCount"], "3");
    }

    #[test]
    fn the_year_goes_on() {
        let mut log = AuthLog::new(Some(2019));
        let year = |h: Option<Happening>| Parts::of(h.expect("a login").ticks).year;
        assert_eq!(year(log.login("Dec 30 12:00:00 gw su: (to root) a on pts/0")), 2019);
        assert_eq!(year(log.login("Jan  2 12:00:00 gw su: (to root) a on pts/0")), 2020);
        assert_eq!(year(log.login("Feb  2 12:00:00 gw su: (to root) a on pts/0")), 2020);
    }
}
