//! The allocator's settings.

/// Tells the allocator to keep freed memory for the next tensors instead of giving it back to the system.
///
/// A training step allocates and frees the same tensors again and again, most of them megabytes. glibc gives such
/// memory back at once, and the system hands it out again page by page, each filled with zeros: a third of a step's
/// time at 160 px. Other C libraries are left alone.
#[allow(unsafe_code)]
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const SETTINGS: [(libc::c_int, libc::c_int); 3] = [
            (libc::M_MMAP_THRESHOLD, 1 << 30),
            (libc::M_TRIM_THRESHOLD, libc::c_int::MAX),
            (libc::M_TOP_PAD, 64 << 20),
        ];
        for (setting, value) in SETTINGS {
            // SAFETY: `mallopt` takes two integers, and changes the allocator's settings under its lock; a value that
            // it does not accept changes nothing.
            let _ = unsafe { libc::mallopt(setting, value) };
        }
    }
}
