//! The kernel's process connector: a netlink socket that tells of every exec. It needs CAP_NET_ADMIN in the machine's
//! first namespaces.
//!
//! The one place of the agent that talks to the kernel by hand; each unsafe call says why it is sound.
#![allow(unsafe_code)]

use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

const CN_IDX_PROC: u32 = 1;
const CN_VAL_PROC: u32 = 1;
const PROC_CN_MCAST_LISTEN: u32 = 1;
/// `what` of the acknowledgement, and of an exec.
const PROC_EVENT_NONE: u32 = 0;
const PROC_EVENT_EXEC: u32 = 2;

/// struct nlmsghdr, and struct cn_msg behind it.
const NETLINK_HEADER_BYTES: usize = 16;
const CONNECTOR_HEADER_BYTES: usize = 20;
/// struct proc_event: what, cpu, timestamp, then the data of the event.
const EVENT_DATA_OFFSET: usize = NETLINK_HEADER_BYTES + CONNECTOR_HEADER_BYTES + 16;
/// The kernel acknowledges at once, or not at all where it does not serve this namespace.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_millis(500);

pub struct Connector {
    socket: OwnedFd,
}

/// Opens the connector; the error says why it cannot be used here.
pub fn open() -> Result<Connector, String> {
    let refused = |what: &str| format!("the kernel's process connector refused to {what}: {}", Error::last_os_error());
    // SAFETY: socket() has no memory preconditions; its result is checked.
    let raw = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, libc::NETLINK_CONNECTOR) };
    if raw < 0 {
        return Err(refused("open"));
    }
    // SAFETY: raw is a descriptor that was just opened and that nothing else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: sockaddr_nl is plain data, for which all zeros are valid.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = CN_IDX_PROC;
    // SAFETY: the pointer and length describe `address`, which outlives the call.
    let bound =
        unsafe { libc::bind(raw, (&raw const address).cast(), size_of::<libc::sockaddr_nl>() as libc::socklen_t) };
    if bound < 0 {
        return Err(refused("listen"));
    }
    let connector = Connector { socket };
    connector.subscribe()?;
    Ok(connector)
}

impl Connector {
    fn subscribe(&self) -> Result<(), String> {
        let mut message = Vec::with_capacity(NETLINK_HEADER_BYTES + CONNECTOR_HEADER_BYTES + 4);
        let length = (NETLINK_HEADER_BYTES + CONNECTOR_HEADER_BYTES + 4) as u32;
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&(libc::NLMSG_DONE as u16).to_ne_bytes());
        message.extend_from_slice(&[0; 10]);
        message.extend_from_slice(&CN_IDX_PROC.to_ne_bytes());
        message.extend_from_slice(&CN_VAL_PROC.to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(&4u16.to_ne_bytes());
        message.extend_from_slice(&[0; 2]);
        message.extend_from_slice(&PROC_CN_MCAST_LISTEN.to_ne_bytes());
        // SAFETY: the pointer and length describe `message`, which outlives the call.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), message.as_ptr().cast(), message.len(), 0) };
        if sent < 0 {
            return Err(format!("the kernel's process connector refused to listen: {}", Error::last_os_error()));
        }
        self.set_timeout(ACKNOWLEDGE_TIMEOUT);
        let deadline = Instant::now() + ACKNOWLEDGE_TIMEOUT;
        while Instant::now() < deadline {
            match self.receive() {
                Ok(Some((PROC_EVENT_NONE, 0))) => {
                    self.set_timeout(Duration::ZERO);
                    return Ok(());
                }
                Ok(Some((PROC_EVENT_NONE, code))) => {
                    return Err(format!(
                        "the kernel's process connector refused to listen: {}",
                        Error::from_raw_os_error(code.cast_signed())
                    ));
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Err("the kernel's process connector does not answer in this namespace".to_owned())
    }

    fn set_timeout(&self, timeout: Duration) {
        let value = libc::timeval { tv_sec: timeout.as_secs().cast_signed(), tv_usec: timeout.subsec_micros().into() };
        // SAFETY: the pointer and length describe `value`, which outlives the call. A failure leaves no timeout.
        unsafe {
            libc::setsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                (&raw const value).cast(),
                size_of::<libc::timeval>() as libc::socklen_t,
            );
        }
    }

    /// Kind and first word of the data of the next event: for an exec the thread's process id, for the
    /// acknowledgement the error code. `None` for a message that is no event.
    fn receive(&self) -> Result<Option<(u32, u32)>, Error> {
        let mut buffer = [0u8; 4096];
        // SAFETY: the pointer and length describe `buffer`, which outlives the call.
        let read = unsafe { libc::recv(self.socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let Ok(length) = usize::try_from(read) else { return Err(Error::last_os_error()) };
        let word = |at: usize| {
            let bytes: [u8; 4] = buffer.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_ne_bytes(bytes))
        };
        if length < EVENT_DATA_OFFSET + 4 {
            return Ok(None);
        }
        let kind = word(NETLINK_HEADER_BYTES + CONNECTOR_HEADER_BYTES);
        // The data of an exec is the thread's id and its process's.
        let data = match kind {
            Some(PROC_EVENT_EXEC) => word(EVENT_DATA_OFFSET + 4),
            _ => word(EVENT_DATA_OFFSET),
        };
        Ok(kind.zip(data))
    }

    /// Waits for the next exec; its process id. `None` when the socket has failed.
    pub fn next_exec(&self) -> Option<u32> {
        loop {
            match self.receive() {
                Ok(Some((PROC_EVENT_EXEC, pid))) => return Some(pid),
                Ok(_) => {}
                // The kernel sent faster than this program read; what was lost is lost, the rest goes on.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(_) => return None,
            }
        }
    }
}
