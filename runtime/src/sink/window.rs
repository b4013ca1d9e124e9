//! A window on this machine's screen: the image with the map and the class drawn in.
//!
//! The window lives in a thread of its own and shows the newest result: looking never holds up the model. Keys: Esc or q ends the run, space holds the image, m changes the colours, + and - the opacity.
//! If the display goes away while the window is open, its library ends the program: no window for services.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use image::{Rgb, RgbImage};
use minifb::{Key, KeyRepeat, ScaleMode, Window, WindowOptions};

use comet_engine::image::{Colormap, OverlayStyle};
use comet_engine::prediction::FrameResult;

use super::ending::{Ending, join_until};
use super::interface::{Sink, SinkError};
use super::overlay::drawn;
use crate::slot::{LatestSlot, Taken};
use comet_engine::guard::guarded;

const NAME: &str = "window";
/// The size at first; it can be drawn larger, and the image keeps its shape.
const SIZE: (usize, usize) = (640, 480);
/// How long the window waits for a result before it looks at its keys again.
const POLL: Duration = Duration::from_millis(20);
/// How long a display may take to open the window, and the window to close.
const PATIENCE: Duration = Duration::from_secs(3);
const OPACITY_STEP: f32 = 0.1;

/// Shows each result in a window, or the newest of those that came while one was drawn.
pub struct WindowSink {
    slot: Arc<LatestSlot<FrameResult>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl WindowSink {
    /// Opens the window. A key that ends the run, or closing the window, sets `stop`.
    ///
    /// # Errors
    /// There is no display, or it does not respond within three seconds.
    pub fn start(style: OverlayStyle, stop: Arc<AtomicBool>) -> Result<Self, SinkError> {
        let slot = Arc::new(LatestSlot::new());
        let (opened, reply) = sync_channel(1);
        let (results, asked) = (Arc::clone(&slot), Arc::clone(&stop));
        // The window cannot be sent between threads, so the thread that shows it opens it.
        let work = move || {
            guarded(|| show(View { style, held: false }, &results, &asked, &opened));
        };
        let thread = Builder::new().name(NAME.into()).spawn(work);
        let thread = thread.map_err(|fault| SinkError::new(NAME, fault))?;
        match reply.recv_timeout(PATIENCE) {
            Ok(Ok(())) => Ok(Self { slot, stop, thread: Some(thread) }),
            Ok(Err(fault)) => {
                // It has replied, so it is about to end.
                let _ = thread.join();
                Err(no_display(&fault))
            }
            Err(_) => {
                // Stuck in the display's library: it ends as soon as that lets go of it.
                slot.close();
                Err(no_display("it does not respond"))
            }
        }
    }

    /// Ends the thread; one that is stuck in the display's library is left behind.
    fn close(&mut self) {
        self.slot.close();
        let Some(thread) = self.thread.take() else {
            return;
        };
        match join_until(thread, Instant::now() + PATIENCE) {
            // Its panics are caught inside; one that is stuck has nothing to lose.
            Ending::Done(()) | Ending::Panicked | Ending::Unfinished => {}
        }
    }
}

impl Sink for WindowSink {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            self.close();
            if !self.stop.load(Ordering::Relaxed) {
                let fault = io::Error::other("it has failed; results go on without it");
                return Err(SinkError::new(NAME, fault));
            }
        }
        if self.thread.is_some() {
            self.slot.put(result.clone());
        }
        Ok(())
    }

    fn begin_finish(&mut self) {
        self.slot.close();
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.close();
        Ok(())
    }
}

impl Drop for WindowSink {
    fn drop(&mut self) {
        self.close();
    }
}

fn no_display(fault: &str) -> SinkError {
    let text = format!("no display: {fault}; run without --window, or use --http");
    SinkError::new(NAME, io::Error::other(text))
}

/// Opens the window, says whether that worked, and shows results until it is closed.
fn show(
    mut view: View,
    slot: &LatestSlot<FrameResult>,
    stop: &AtomicBool,
    opened: &SyncSender<Result<(), String>>,
) {
    let options =
        WindowOptions { resize: true, scale_mode: ScaleMode::AspectRatioStretch, ..WindowOptions::default() };
    let mut window = match Window::new("comet-edge", SIZE.0, SIZE.1, options) {
        Ok(window) => window,
        Err(fault) => {
            // The caller may have stopped waiting.
            let _ = opened.send(Err(fault.to_string()));
            return;
        }
    };
    let _ = opened.send(Ok(()));
    let mut shown = None;
    let mut size = SIZE;
    while window.is_open() && !stop.load(Ordering::Relaxed) {
        let mut is_new = false;
        match slot.take(POLL) {
            Taken::Value(result) if !view.held => {
                shown = Some(result);
                is_new = true;
            }
            Taken::Value(_) | Taken::TimedOut => {}
            Taken::Closed => return,
        }
        for action in pressed(&window) {
            match action {
                Action::End => stop.store(true, Ordering::Relaxed),
                Action::Change(change) => change(&mut view),
            }
            is_new = true;
        }
        // A window of another size begins empty.
        let now = window.get_size();
        is_new |= now != size;
        size = now;
        match &shown {
            Some(result) if is_new => {
                let drawn = view.draw(result);
                let (width, height) = (drawn.width() as usize, drawn.height() as usize);
                if window.update_with_buffer(&packed(&drawn), width, height).is_err() {
                    return;
                }
            }
            _ => window.update(),
        }
    }
    // The window was closed: that ends the run, as the key does.
    stop.store(true, Ordering::Relaxed);
}

/// What a key does.
#[derive(Clone, Copy)]
enum Action {
    End,
    Change(fn(&mut View)),
}

const KEYS: [(Key, Action); 8] = [
    (Key::Escape, Action::End),
    (Key::Q, Action::End),
    (Key::Space, Action::Change(View::hold)),
    (Key::M, Action::Change(View::change_colours)),
    (Key::Equal, Action::Change(View::show_more_of_the_map)),
    (Key::NumPadPlus, Action::Change(View::show_more_of_the_map)),
    (Key::Minus, Action::Change(View::show_less_of_the_map)),
    (Key::NumPadMinus, Action::Change(View::show_less_of_the_map)),
];

fn pressed(window: &Window) -> impl Iterator<Item = Action> {
    KEYS.into_iter().filter(|(key, _)| window.is_key_pressed(*key, KeyRepeat::No)).map(|(_, action)| action)
}

/// What the keys change.
#[derive(Clone, Copy, Debug, PartialEq)]
struct View {
    style: OverlayStyle,
    /// The image stays while results go by.
    held: bool,
}

impl View {
    fn hold(&mut self) {
        self.held = !self.held;
    }

    fn change_colours(&mut self) {
        self.style.colormap = match self.style.colormap {
            Colormap::Viridis => Colormap::Turbo,
            Colormap::Turbo => Colormap::Viridis,
        };
    }

    fn show_more_of_the_map(&mut self) {
        self.style.opacity = (self.style.opacity + OPACITY_STEP).min(1.0);
    }

    fn show_less_of_the_map(&mut self) {
        self.style.opacity = (self.style.opacity - OPACITY_STEP).max(0.0);
    }

    fn draw(&self, result: &FrameResult) -> RgbImage {
        drawn(result, &self.style)
    }
}

/// A word a pixel, red in bits 16 to 23, as the window wants it.
fn packed(image: &RgbImage) -> Vec<u32> {
    let word = |Rgb([red, green, blue]): &Rgb<u8>| u32::from_be_bytes([0, *red, *green, *blue]);
    image.pixels().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample::result;

    #[test]
    fn keys_change_the_view_within_its_bounds() {
        let mut view = View { style: OverlayStyle::default(), held: false };
        let first = view;
        view.change_colours();
        assert_ne!(view, first);
        view.change_colours();
        view.hold();
        view.hold();
        assert_eq!(view, first);
        for _ in 0..20 {
            view.show_more_of_the_map();
        }
        assert_eq!(view.style.opacity, 1.0);
        for _ in 0..20 {
            view.show_less_of_the_map();
        }
        assert_eq!(view.style.opacity, 0.0);
    }

    #[test]
    fn a_result_is_drawn_in_the_words_that_a_window_takes() {
        let view = View { style: OverlayStyle { opacity: 1.0, ..OverlayStyle::default() }, held: false };
        let result = result("a.jpg", 0, [0.0, 2.0, 1.0]);
        let drawn = view.draw(&result);
        assert_eq!(drawn.dimensions(), result.image.dimensions());
        assert_eq!(packed(&drawn).len(), 8 * 6);
        assert_ne!(&drawn, &*result.image);
        assert_eq!(packed(&RgbImage::from_pixel(1, 1, Rgb([1, 2, 3]))), [0x01_02_03]);
    }

    #[test]
    fn no_display_is_reported_with_what_to_do_instead() {
        let text = no_display("it does not respond").to_string();
        assert!(text.contains("no display") && text.contains("--http"), "{text}");
    }
}
