//! What every source of frames can do.

use super::error::SourceError;
use super::frame::Frame;

/// Gives frames, one after the other.
///
/// A source that can wait for long (a camera, a network) must look at the program's stop flag while it
/// waits, at least every 200 ms, and return `Ok(None)` once it is set.
pub trait Source: Send {
    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// [`SourceError::recovery`] says what an error means for the frames after it: after
    /// [`Recovery::NextFrame`](super::error::Recovery::NextFrame) and
    /// [`Recovery::Reconnecting`](super::error::Recovery::Reconnecting) call again, after
    /// [`Recovery::Lost`](super::error::Recovery::Lost) do not.
    fn next(&mut self) -> Result<Option<Frame>, SourceError>;

    /// Whether frames come at their own pace, so that late ones are worth less than new ones.
    fn is_live(&self) -> bool;

    /// Short name for logs, such as `camera0` or `stdin`.
    fn name(&self) -> &str;
}

/// What opening a source gives.
pub(super) type Opened = Result<Box<dyn Source>, SourceError>;
