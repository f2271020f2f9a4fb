//! The agent's loop: collect, keep, send.

use crate::ConnectionOptions;
use crate::collectors::login::LoginWatcher;
use crate::collectors::{process, snapshots};
use crate::event::{Happening, fold};
use crate::sender::Sender;
use crate::spool::Spool;
use clap::Args;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(500);
/// Between two tries to reach a hub that does not answer: doubled each time, up to the second.
const RETRY_DELAYS_SECONDS: (u64, u64) = (1, 60);
/// An agent that is told to stop ends well within this time.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Happenings that wait to be folded; more are passed on at once.
const PENDING_MAX: usize = 1000;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    connection: ConnectionOptions,
    /// The folder for what waits to be sent and what has been read.
    #[arg(long, default_value = "/var/lib/turnstone-agent", value_name = "DIR")]
    state: PathBuf,
    /// Seconds between snapshots of ports, users, firewall, system and baseline.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    snapshot_seconds: u64,
    /// Seconds in which like events are folded into one before they are sent.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    fold_seconds: u64,
    /// End when the program that started this one ends.
    #[arg(long)]
    stop_with_parent: bool,
    /// Megabytes of messages that may wait while the hub is out of reach.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    spool_megabytes: u64,
}

pub fn run(options: &Options) -> Result<(), String> {
    std::fs::create_dir_all(&options.state).map_err(|e| format!("{}: {e}", options.state.display()))?;
    let _lock = lock(&options.state)?;
    let parent = std::os::unix::process::parent_id();
    let spool = Arc::new(Spool::open(&options.state, options.spool_megabytes << 20)?);
    let sender = Sender::new(&options.connection)?;
    let stopping = stop_flag()?;
    let (found, happenings) = mpsc::channel();
    let blind = process::watch(found);
    for reason in blind {
        eprintln!("turnstone-agent: {reason}");
    }
    let sending = {
        let (spool, stopping) = (spool.clone(), stopping.clone());
        std::thread::spawn(move || send(&sender, &spool, &stopping))
    };
    let mut logins = LoginWatcher::open(&options.state);
    let fold_interval = Duration::from_secs(options.fold_seconds);
    let mut pending: Vec<Happening> = Vec::new();
    let mut next_snapshot = Instant::now();
    let mut next_fold = Instant::now() + Duration::from_secs(1);
    while !stopping.load(Ordering::Relaxed) {
        if options.stop_with_parent && std::os::unix::process::parent_id() != parent {
            stopping.store(true, Ordering::Relaxed);
        }
        pending.extend(happenings.try_iter().take(PENDING_MAX));
        pending.extend(logins.read());
        if Instant::now() >= next_fold || pending.len() >= PENDING_MAX {
            keep(&spool, &mut pending, &mut logins);
            next_fold = Instant::now() + fold_interval;
        }
        if Instant::now() >= next_snapshot {
            if let Err(error) = spool.push(snapshots::all()) {
                eprintln!("turnstone-agent: failed to keep events: {error}");
            }
            next_snapshot = Instant::now() + Duration::from_secs(options.snapshot_seconds);
        }
        std::thread::sleep(TICK);
    }
    pending.extend(happenings.try_iter());
    keep(&spool, &mut pending, &mut logins);
    let _ = sending.join();
    Ok(())
}

/// Takes the state folder for this process. One that another agent has, on its way out, is waited for.
fn lock(state: &Path) -> Result<File, String> {
    let path = state.join("lock");
    let file = File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let deadline = Instant::now() + LOCK_TIMEOUT;
    while file.try_lock().is_err() {
        if Instant::now() >= deadline {
            return Err(format!("{} is in use by another agent", state.display()));
        }
        std::thread::sleep(TICK);
    }
    Ok(file)
}

/// Puts what was found on disk; only then is the place in the logs moved on.
fn keep(spool: &Spool, pending: &mut Vec<Happening>, logins: &mut LoginWatcher) {
    if pending.is_empty() {
        return;
    }
    match spool.push(fold(std::mem::take(pending))) {
        Ok(()) => logins.checkpoint(),
        Err(error) => eprintln!("turnstone-agent: failed to keep events: {error}"),
    }
}

fn send(sender: &Sender, spool: &Spool, stopping: &AtomicBool) {
    let (shortest, longest) = RETRY_DELAYS_SECONDS;
    let mut delay = shortest;
    let mut complained = false;
    while !stopping.load(Ordering::Relaxed) {
        let pause = match sender.drain(spool) {
            Ok(()) => {
                (delay, complained) = (shortest, false);
                TICK
            }
            Err(reason) => {
                if !complained {
                    eprintln!("turnstone-agent: {reason}; messages wait on disk");
                    complained = true;
                }
                let pause = Duration::from_secs(delay);
                delay = (delay * 2).min(longest);
                pause
            }
        };
        let until = Instant::now() + pause;
        while Instant::now() < until && !stopping.load(Ordering::Relaxed) {
            std::thread::sleep(TICK.min(pause));
        }
    }
}

static STOPPING: AtomicBool = AtomicBool::new(false);

/// A flag that SIGTERM and SIGINT set.
#[allow(unsafe_code)]
fn stop_flag() -> Result<Arc<AtomicBool>, String> {
    extern "C" fn on_signal(_signal: libc::c_int) {
        STOPPING.store(true, Ordering::Relaxed);
    }
    let handler = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the handler only stores to an atomic, which is safe in a signal handler.
        if unsafe { libc::signal(signal, handler) } == libc::SIG_ERR {
            return Err("failed to listen for signals".to_owned());
        }
    }
    let flag = Arc::new(AtomicBool::new(false));
    let shared = flag.clone();
    std::thread::spawn(move || {
        while !STOPPING.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
        }
        shared.store(true, Ordering::Relaxed);
    });
    Ok(flag)
}
