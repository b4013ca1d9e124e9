//! A few threads that share the work of one kernel.

use std::cell::UnsafeCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::Fault;

/// Spins before a thread gives its core back; some tens of microseconds, more than the time between two
/// kernels of a frame and far less than the time between two frames.
const SPINS: u32 = 4_000;

/// Less work than this is not worth waking a thread for (multiplications; about 50 microseconds of one AVX-512 core).
pub(crate) const WORTH_A_THREAD: usize = 8_000_000;

type Job = *const (dyn Fn(usize) + Sync);

struct Shared {
    /// Number of the current job; it changes when there is a new one.
    epoch: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    /// Workers that have not finished the current job.
    remaining: AtomicUsize,
    sleepers: AtomicUsize,
    gate: Mutex<()>,
    wake: Condvar,
    stop: AtomicBool,
    failed: AtomicBool,
}

// SAFETY: `job` is written only by the thread that holds `Pool::turn`, before it publishes a new `epoch` (release) and
// after all workers have left the job before (`remaining` is 0, acquire); workers read it only after they have seen the
// new epoch (acquire). The pointer it holds stays valid until `remaining` is 0.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to one thread.
unsafe impl Send for Shared {}

/// A fixed set of threads. The caller's thread is one of them, so a pool of one starts no thread.
///
/// How work is divided never changes a result: every output value is computed whole by one thread.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    turn: Mutex<()>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

impl Pool {
    /// Starts `threads - 1` threads.
    ///
    /// # Errors
    /// [`Fault::Thread`] if the system refuses one.
    pub fn new(threads: usize) -> Result<Self, Fault> {
        let shared = Arc::new(Shared {
            epoch: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            remaining: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            gate: Mutex::new(()),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        });
        let mut pool = Self { shared, workers: Vec::new(), turn: Mutex::new(()) };
        for index in 1..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let worker = thread::Builder::new()
                .name(format!("kernel-{index}"))
                .spawn(move || work(&shared, index))
                .map_err(|_| Fault::Thread)?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Splits `0..units` into one range a thread, each a multiple of `grain` except the last, and runs `task` on them.
    pub(crate) fn split(
        &self,
        units: usize,
        grain: usize,
        task: &(dyn Fn(Range<usize>) + Sync),
    ) -> Result<(), Fault> {
        let grain = grain.max(1);
        let threads = self.threads().min(units.div_ceil(grain)).max(1);
        if threads == 1 {
            task(0..units);
            return Ok(());
        }
        let grains = units.div_ceil(grain);
        let cut = |index: usize| (grains * index / threads * grain).min(units);
        self.run(&|index| {
            if index < threads {
                task(cut(index)..cut(index + 1));
            }
        })
    }

    fn run(&self, task: &(dyn Fn(usize) + Sync)) -> Result<(), Fault> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: only the lifetime is erased; this function does not return before all workers are done with it.
        let job: Job = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), Job>(task) };
        // SAFETY: the turn is ours and no worker is inside a job (see `Shared`).
        unsafe { *shared.job.get() = Some(job) };
        shared.remaining.store(self.workers.len(), Ordering::Relaxed);
        shared.epoch.fetch_add(1, Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            let _gate = shared.gate.lock().unwrap_or_else(PoisonError::into_inner);
            shared.wake.notify_all();
        }
        let own = catch_unwind(AssertUnwindSafe(|| task(0)));
        let mut spins = 0;
        while shared.remaining.load(Ordering::Acquire) > 0 {
            pause(&mut spins);
        }
        let failed = shared.failed.swap(false, Ordering::Relaxed);
        if own.is_err() || failed { Err(Fault::Thread) } else { Ok(()) }
    }
}

/// Waits a moment: a spin at first, then the core is offered to others.
fn pause(spins: &mut u32) {
    if *spins < SPINS {
        *spins += 1;
        std::hint::spin_loop();
    } else {
        thread::yield_now();
    }
}

fn work(shared: &Shared, index: usize) {
    let mut seen = 0;
    loop {
        let mut spins = 0;
        loop {
            if shared.stop.load(Ordering::SeqCst) {
                return;
            }
            let epoch = shared.epoch.load(Ordering::SeqCst);
            if epoch != seen {
                seen = epoch;
                break;
            }
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
                continue;
            }
            let mut gate = shared.gate.lock().unwrap_or_else(PoisonError::into_inner);
            shared.sleepers.fetch_add(1, Ordering::SeqCst);
            // Checked again under the lock, after `sleepers` counts this thread as one to be woken.
            while shared.epoch.load(Ordering::SeqCst) == seen && !shared.stop.load(Ordering::SeqCst) {
                gate = shared.wake.wait(gate).unwrap_or_else(PoisonError::into_inner);
            }
            shared.sleepers.fetch_sub(1, Ordering::SeqCst);
        }
        // SAFETY: published before the epoch that was just seen, and valid until `remaining` is counted down below.
        let job = unsafe { *shared.job.get() };
        if let Some(job) = job {
            // SAFETY: as above.
            let task = unsafe { &*job };
            if catch_unwind(AssertUnwindSafe(|| task(index))).is_err() {
                shared.failed.store(true, Ordering::Relaxed);
            }
        }
        shared.remaining.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        {
            let _gate = self.shared.gate.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.wake.notify_all();
        }
        for worker in self.workers.drain(..) {
            // A worker that panicked outside a task has already been reported by the hook; there is nothing to add.
            let _ = worker.join();
        }
    }
}

/// A pointer that several threads write through, each to places of its own.
#[derive(Clone, Copy)]
pub(crate) struct Shares<T>(*mut T);

// SAFETY: the code that writes through it proves that no two threads write to the same place.
unsafe impl<T: Send> Sync for Shares<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shares<T> {}

impl<T> Shares<T> {
    pub(crate) fn new(slice: &mut [T]) -> Self {
        Self(slice.as_mut_ptr())
    }

    pub(crate) fn pointer(self) -> *mut T {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_unit_is_done_once_by_any_number_of_threads() {
        for threads in [1, 2, 3, 7] {
            let pool = Pool::new(threads).unwrap();
            for units in [0, 1, 5, 16, 97] {
                let counts: Vec<AtomicU32> = (0..units).map(|_| AtomicU32::new(0)).collect();
                for _ in 0..50 {
                    pool.split(units, 4, &|range| {
                        for index in range {
                            counts[index].fetch_add(1, Ordering::Relaxed);
                        }
                    })
                    .unwrap();
                }
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 50), "{threads} {units}");
            }
        }
    }

    #[test]
    fn threads_that_went_to_sleep_wake_up_again() {
        let pool = Pool::new(3).unwrap();
        for _ in 0..3 {
            let count = AtomicU32::new(0);
            pool.split(3, 1, &|range| {
                count.fetch_add(range.len() as u32, Ordering::Relaxed);
            })
            .unwrap();
            assert_eq!(count.load(Ordering::Relaxed), 3);
            thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_panic_in_a_share_is_an_error_and_the_pool_goes_on() {
        let pool = Pool::new(2).unwrap();
        for share in [0, 1] {
            let fail = pool.split(2, 1, &|range| assert_ne!(range.start, share));
            assert_eq!(fail, Err(Fault::Thread));
        }
        assert_eq!(pool.split(2, 1, &|_| ()), Ok(()));
    }
}
