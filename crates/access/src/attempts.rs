//! Attempts that are counted: wrong passwords, and requests per second.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Lets through so many at once and so many a second after that, for each key.
pub struct RateLimit<K> {
    /// So many keys are kept at most; beyond, those that were not heard of for longest go.
    keys_max: usize,
    burst: f64,
    per_second: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Eq + Hash + Clone> RateLimit<K> {
    pub fn new(keys_max: usize, burst: u32, per_second: f64) -> RateLimit<K> {
        RateLimit { keys_max, burst: f64::from(burst), per_second, buckets: Mutex::default() }
    }

    /// Takes one; else how long until there is one again.
    pub fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        self.change(key, now, 1.0)
    }

    /// How long until there is one again, where there is none; takes nothing.
    pub fn check(&self, key: &K, now: Instant) -> Result<(), Duration> {
        self.change(key, now, 0.0)
    }

    /// Forgets what some keys have taken.
    pub fn forgive_all(&self, is_one: impl Fn(&K) -> bool) {
        self.buckets.lock().retain(|key, _| !is_one(key));
    }

    /// Forgets what a key has taken.
    pub fn forgive(&self, key: &K) {
        self.buckets.lock().remove(key);
    }

    fn change(&self, key: &K, now: Instant, taken: f64) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock();
        let filled = |bucket: &Bucket| {
            let since = now.saturating_duration_since(bucket.at).as_secs_f64();
            (bucket.left + since * self.per_second).min(self.burst)
        };
        let left = buckets.get(key).map_or(self.burst, filled);
        if left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left) / self.per_second));
        }
        if taken == 0.0 {
            return Ok(());
        }
        if buckets.len() >= self.keys_max && !buckets.contains_key(key) {
            // Whoever is full again is as one that was never here.
            buckets.retain(|_, bucket| filled(bucket) < self.burst);
            let oldest = buckets.iter().min_by_key(|(_, bucket)| bucket.at).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest.filter(|_| buckets.len() >= self.keys_max) {
                buckets.remove(&oldest);
            }
        }
        buckets.insert(key.clone(), Bucket { left: left - taken, at: now });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_so_many_a_second() {
        let limit = RateLimit::new(10, 3, 0.5);
        let start = Instant::now();
        for _ in 0..3 {
            limit.take(&"ann", start).expect("of the burst");
        }
        let wait = limit.take(&"ann", start).expect_err("used up");
        assert_eq!(wait, Duration::from_secs(2));
        limit.take(&"bob", start).expect("another");
        limit.check(&"ann", start + wait).expect("again");
        limit.take(&"ann", start + wait).expect("again");
        limit.take(&"ann", start + wait).expect_err("only one");
        limit.forgive(&"ann");
        limit.take(&"ann", start).expect("forgiven");
    }

    #[test]
    fn keys_are_bounded() {
        let limit = RateLimit::new(100, 1, 0.001);
        let start = Instant::now();
        for key in 0..110 {
            limit.take(&key, start + Duration::from_millis(key as u64)).expect("each its first");
        }
        assert!(limit.buckets.lock().len() <= 100);
    }
}
