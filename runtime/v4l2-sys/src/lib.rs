//! The types and constants of `linux/videodev2.h`, as bindgen translates them; see this folder's `README.md`.
//!
//! The crate of the same name and version in the registry runs bindgen in every build, which needs libclang on every
//! machine that builds. The header is part of the kernel's interface to programs and only ever grows, so the
//! translation can be kept.
#![allow(clippy::all)]
#![allow(dead_code)]
#![allow(missing_docs)]
#![allow(non_camel_case_types)]
#![allow(non_snake_case)]
#![allow(non_upper_case_globals)]
#![allow(rustdoc::all)]
#![allow(unsafe_code)]

// The kernel lays these types out alike on the 64-bit processors that Rust calls x86_64, aarch64, and their like.
#[cfg(target_pointer_width = "64")]
include!("linux_64.rs");

#[cfg(target_arch = "arm")]
include!("linux_arm.rs");

#[cfg(not(any(target_pointer_width = "64", target_arch = "arm")))]
compile_error!(
    "there are no V4L2 bindings for this processor: make them with runtime/v4l2-sys/generate.sh, or build without the \
     feature 'camera'"
);
