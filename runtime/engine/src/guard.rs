//! Panics of libraries, caught without a message on stderr.
//!
//! To the user, a panic of the engine on a hostile file is an error with the file's name. The hook's own
//! message and backtrace beside it look like a fault of the program; that is why a library changes the hook.
//! It stays silent for the guarded work alone: a panic anywhere else is reported as before, and so is one on
//! another thread, those of tract's executor among them.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside [`guarded`].
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Does `work`; `None` if it panics. May be nested.
///
/// State that `work` changes can be left half changed by a panic: let it go, or do not share it.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(wrap_hook);
    let former = SILENT.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    SILENT.set(former);
    outcome.ok()
}

/// Lets the hook of the program, whichever it is, be called outside of [`guarded`] only.
///
/// A hook that the program sets later takes this one's place, and then reports the engine's panics, too.
fn wrap_hook() {
    let previous = take_hook();
    set_hook(Box::new(move |info| {
        if !SILENT.get() {
            previous(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_passes_through_and_the_thread_is_silent_meanwhile() {
        assert!(!SILENT.get());
        assert_eq!(guarded(|| (7, SILENT.get())), Some((7, true)));
        assert!(!SILENT.get());
    }

    #[test]
    fn a_panic_gives_none_and_the_thread_reports_again() {
        let outcome: Option<u8> = guarded(|| panic!("hostile"));
        assert_eq!(outcome, None);
        assert!(!SILENT.get());
    }

    #[test]
    fn a_panic_inside_of_nested_work_leaves_the_outer_work_silent() {
        let outcome = guarded(|| {
            let inner: Option<u8> = guarded(|| panic!("hostile"));
            (inner, SILENT.get())
        });
        assert_eq!(outcome, Some((None, true)));
        assert!(!SILENT.get());
    }

    #[test]
    fn other_threads_are_not_silent() {
        let silent = guarded(|| std::thread::spawn(|| SILENT.get()).join().unwrap());
        assert_eq!(silent, Some(false));
    }
}
