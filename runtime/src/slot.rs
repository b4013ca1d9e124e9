//! The hand-off between two threads: room for one, and the newest wins.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A slot for the newest value. Putting never waits; what was not taken in time is dropped and counted.
#[derive(Debug)]
pub struct LatestSlot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    dropped: u64,
    closed: bool,
}

/// What became of a value that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It waits in the slot.
    Stored,
    /// It waits in the slot, and an older one was dropped for it.
    Replaced,
    /// The slot is closed; the value was dropped.
    Closed,
}

/// What was found in the slot.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// The newest value.
    Value(T),
    /// Nothing came in time.
    TimedOut,
    /// The slot is closed and empty.
    Closed,
}

impl<T> Default for LatestSlot<T> {
    fn default() -> Self {
        let state = State { value: None, dropped: 0, closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl<T> LatestSlot<T> {
    /// An empty slot.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a value in, in place of one that was not taken.
    pub fn put(&self, value: T) -> Put {
        let mut state = self.lock();
        if state.closed {
            return Put::Closed;
        }
        let old = state.value.replace(value);
        state.dropped += u64::from(old.is_some());
        drop(state);
        self.changed.notify_one();
        // The old value is freed here, outside the lock.
        if old.is_some() { Put::Replaced } else { Put::Stored }
    }

    /// Takes the value, waiting up to `timeout` for one. A closed slot still gives its last value.
    pub fn take(&self, timeout: Duration) -> Taken<T> {
        let empty = |state: &mut State<T>| state.value.is_none() && !state.closed;
        let waited = self.changed.wait_timeout_while(self.lock(), timeout, empty);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match state.value.take() {
            Some(value) => Taken::Value(value),
            None if state.closed => Taken::Closed,
            None => Taken::TimedOut,
        }
    }

    /// Ends the hand-off and wakes the waiting threads.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// How many values were dropped for newer ones.
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// A thread that panicked while it held the lock has left a whole value or none.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;
    use std::time::Instant;

    const MOMENT: Duration = Duration::from_millis(5);

    #[test]
    fn the_latest_value_wins_and_drops_are_counted() {
        let slot = LatestSlot::new();
        assert_eq!(slot.put(1), Put::Stored);
        assert_eq!(slot.put(2), Put::Replaced);
        assert_eq!(slot.put(3), Put::Replaced);
        assert_eq!(slot.take(MOMENT), Taken::Value(3));
        assert_eq!(slot.take(MOMENT), Taken::TimedOut);
        assert_eq!(slot.dropped(), 2);
    }

    #[test]
    fn a_closed_slot_gives_its_last_value_and_takes_no_new_one() {
        let slot = LatestSlot::new();
        slot.put(1);
        slot.close();
        assert_eq!(slot.put(2), Put::Closed);
        assert_eq!(slot.take(MOMENT), Taken::Value(1));
        assert_eq!(slot.take(MOMENT), Taken::Closed);
    }

    #[test]
    fn closing_wakes_a_thread_that_waits() {
        let slot = Arc::new(LatestSlot::<u8>::new());
        let waiting = Arc::clone(&slot);
        let begun = Instant::now();
        let thread = thread::spawn(move || waiting.take(Duration::from_secs(30)));
        thread::sleep(Duration::from_millis(20));
        slot.close();
        assert_eq!(thread.join().unwrap(), Taken::Closed);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_slow_taker_sees_rising_numbers_and_every_value_is_taken_or_dropped() {
        let slot = Arc::new(LatestSlot::new());
        let giving = Arc::clone(&slot);
        let thread = thread::spawn(move || {
            for number in 0..10_000u32 {
                giving.put(number);
            }
            giving.close();
        });
        let mut taken = Vec::new();
        while let Taken::Value(number) = slot.take(Duration::from_secs(10)) {
            taken.push(number);
        }
        thread.join().unwrap();
        assert!(taken.is_sorted() && taken.last() == Some(&9_999));
        assert_eq!(taken.len() as u64 + slot.dropped(), 10_000);
    }
}
