//! One image of a stream.

use axum::body::Bytes;

/// Browsers show a part when they see the boundary after it, so that it is sent with the part.
pub(super) const BOUNDARY: &str = "\r\n--comet-edge\r\n";

/// One image in a stream; clones share its bytes.
#[derive(Clone, Debug)]
pub(super) struct Part {
    whole: Bytes,
    jpeg: Bytes,
}

impl Part {
    pub(super) fn new(jpeg: &[u8]) -> Self {
        let head = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", jpeg.len());
        let whole: Bytes = [head.as_bytes(), jpeg, BOUNDARY.as_bytes()].concat().into();
        // The range lies inside: the three were put together here.
        let jpeg = whole.slice(head.len()..head.len() + jpeg.len());
        Self { whole, jpeg }
    }

    /// Head, image and boundary.
    pub(super) fn whole(&self) -> Bytes {
        self.whole.clone()
    }

    /// The image alone.
    pub(super) fn jpeg(&self) -> Bytes {
        self.jpeg.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_its_length_and_ends_with_the_boundary() {
        let part = Part::new(&[0xff, 0xd8, 1, 2, 0xff, 0xd9]);
        assert_eq!(part.jpeg()[..], [0xff, 0xd8, 1, 2, 0xff, 0xd9]);
        let (whole, head) = (part.whole(), b"Content-Type: image/jpeg\r\nContent-Length: 6\r\n\r\n");
        assert!(whole.starts_with(head) && whole.ends_with(BOUNDARY.as_bytes()));
        assert_eq!(whole.len(), head.len() + 6 + BOUNDARY.len());
    }
}
