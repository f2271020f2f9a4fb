//! How much memory a query may hold: a bound of its own, within the bound of all queries together.
//!
//! An operator that reaches a bound spills to disk if it can; if not, the query fails and says so.

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory of all running queries.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    used_bytes: AtomicUsize,
    bytes_max: usize,
}

impl SharedMemory {
    pub fn new(bytes_max: usize) -> Arc<SharedMemory> {
        Arc::new(SharedMemory { used_bytes: AtomicUsize::new(0), bytes_max })
    }

    fn take(&self, bytes: usize) -> bool {
        let within = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The memory of one query.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    shared: Arc<SharedMemory>,
    own: FairSpillPool,
    bytes_max: usize,
}

impl QueryMemory {
    pub fn new(shared: Arc<SharedMemory>, bytes_max: usize) -> QueryMemory {
        QueryMemory { shared, own: FairSpillPool::new(bytes_max), bytes_max }
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes for a query", self.bytes_max)
    }
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &'static str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.shared.used_bytes.fetch_add(additional, Ordering::Relaxed);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.shared.give_back(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if !self.shared.take(additional) {
            return Err(resources_datafusion_err!(
                "the queries that run together need more than {} bytes of memory",
                self.shared.bytes_max
            ));
        }
        self.own.try_grow(reservation, additional).map_err(|_| {
            self.shared.give_back(additional);
            resources_datafusion_err!("the query needs more than {} bytes of memory", self.bytes_max)
        })
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes_max)
    }
}
