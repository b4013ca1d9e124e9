//! The priority of threads that must not slow predictions down.

use rustix::process::setpriority_process;
use rustix::thread::gettid;

/// As `nice -n 10`: on a busy processor the network goes first.
const LATER: i32 = 10;

/// Lets the present thread stand back. Linux counts niceness by thread; where it cannot be set, all stay equal.
pub(crate) fn stand_back() {
    let _ = setpriority_process(Some(gettid()), LATER);
}
