//! A map beside the true mask of its image.

use image::GrayImage;

use super::error::MetricsError;

/// A grey from here on counts as true.
const TRUE: u8 = 128;

/// Map values beside the truth, pixel by pixel. Masks are 0 or 255; a grey from 128 on counts as true.
pub(super) fn paired<'a>(
    map: &'a [f32],
    truth: &'a GrayImage,
) -> Result<impl Iterator<Item = (f32, bool)> + 'a, MetricsError> {
    let pixels = truth.width() as usize * truth.height() as usize;
    if map.len() != pixels {
        return Err(MetricsError::SizeMismatch { map: map.len(), truth: pixels });
    }
    Ok(map.iter().copied().zip(true_pixels(truth)))
}

/// For each pixel of a mask, row by row, whether it is true.
pub(super) fn true_pixels(truth: &GrayImage) -> impl Iterator<Item = bool> + '_ {
    truth.pixels().map(|pixel| pixel.0[0] >= TRUE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    #[test]
    fn values_stand_beside_the_pixels_row_by_row_and_grey_counts_from_128() {
        let truth = GrayImage::from_fn(2, 2, |x, y| Luma([[[0, 127], [128, 255]][y as usize][x as usize]]));
        let pairs: Vec<(f32, bool)> = paired(&[0.1, 0.2, 0.3, 0.4], &truth).unwrap().collect();
        assert_eq!(pairs, [(0.1, false), (0.2, false), (0.3, true), (0.4, true)]);
    }

    #[test]
    fn both_must_have_the_same_number_of_pixels() {
        let truth = GrayImage::new(3, 2);
        for length in [5, 7] {
            let map = vec![0.5; length];
            let error = paired(&map, &truth).err();
            assert!(matches!(error, Some(MetricsError::SizeMismatch { map, truth: 6 }) if map == length));
        }
        assert_eq!(paired(&[0.5; 6], &truth).unwrap().count(), 6);
    }
}
