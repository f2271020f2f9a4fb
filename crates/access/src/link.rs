//! Links that sign the administrator in, once. They live in the memory of the program, for an hour.

use crate::Error;
use crate::secret::{Digest, SecretText};
use kql::timespan::TICKS_PER_HOUR;
use parking_lot::Mutex;

/// How long a link is good, in ticks.
pub const LINK_TICKS: i64 = TICKS_PER_HOUR;
/// So many wait to be used; beyond, the oldest is good no more.
const LINKS_MAX: usize = 100;

/// The links that wait to be used.
#[derive(Default)]
pub(crate) struct Links {
    /// The digest of each one's code, and when it was made, the oldest first.
    waiting: Mutex<Vec<(Digest, i64)>>,
}

impl Links {
    /// The code of a new link.
    pub fn issue(&self, now_ticks: i64) -> Result<SecretText, Error> {
        let code = SecretText::random()?;
        let mut waiting = self.waiting.lock();
        waiting.retain(|(_, made)| is_good(*made, now_ticks));
        if waiting.len() >= LINKS_MAX {
            waiting.remove(0);
        }
        waiting.push((code.digest(), now_ticks));
        Ok(code)
    }

    /// When the link of a code was made, where it is good. It is not any more after this.
    pub fn redeem(&self, code: &str, now_ticks: i64) -> Option<i64> {
        let digest = Digest::of(code);
        let mut waiting = self.waiting.lock();
        let at = waiting.iter().position(|(known, _)| *known == digest)?;
        let (_, made) = waiting.remove(at);
        is_good(made, now_ticks).then_some(made)
    }
}

fn is_good(made: i64, now_ticks: i64) -> bool {
    now_ticks.saturating_sub(made) < LINK_TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_once_and_for_an_hour() {
        let links = Links::default();
        let code = links.issue(0).expect("random numbers");
        assert_eq!(links.redeem("tst_other", 1), None);
        assert_eq!(links.redeem(code.reveal(), 1), Some(0));
        assert_eq!(links.redeem(code.reveal(), 2), None, "it was used");
        let old = links.issue(0).expect("random numbers");
        assert_eq!(links.redeem(old.reveal(), LINK_TICKS), None, "it is too old");
    }

    #[test]
    fn the_oldest_make_room() {
        let links = Links::default();
        let first = links.issue(0).expect("random numbers");
        for _ in 0..LINKS_MAX {
            links.issue(1).expect("random numbers");
        }
        assert_eq!(links.redeem(first.reveal(), 2), None);
    }
}
