//! Random values that change slowly.

use rand_chacha::ChaCha8Rng;

use super::random::between;

/// Random values on a square lattice, blended smoothly in between.
pub(in crate::data) struct SmoothNoise {
    cells: usize,
    amplitude: f32,
    corners: Vec<f32>,
}

impl SmoothNoise {
    /// Noise with `cells` values a side, between plus and minus `amplitude`.
    pub(in crate::data) fn random(cells: usize, amplitude: f32, rng: &mut ChaCha8Rng) -> Self {
        let corners = (0..(cells + 1) * (cells + 1)).map(|_| between(rng, -1.0, 1.0)).collect();
        Self { cells, amplitude, corners }
    }

    /// The noise at a point of the unit square, between plus and minus the amplitude.
    pub(in crate::data) fn at(&self, x: f32, y: f32) -> f32 {
        let (column, along) = self.cell(x);
        let (row, down) = self.cell(y);
        let top =
            self.corner(column, row) + (self.corner(column + 1, row) - self.corner(column, row)) * along;
        let bottom = self.corner(column, row + 1)
            + (self.corner(column + 1, row + 1) - self.corner(column, row + 1)) * along;
        self.amplitude * (top + (bottom - top) * down)
    }

    /// The cell a coordinate falls in, and the eased share of the way through it.
    fn cell(&self, place: f32) -> (usize, f32) {
        let scaled = place.clamp(0.0, 1.0) * self.cells as f32;
        let cell = (scaled as usize).min(self.cells.saturating_sub(1));
        let share = scaled - cell as f32;
        (cell, share * share * (3.0 - 2.0 * share))
    }

    fn corner(&self, column: usize, row: usize) -> f32 {
        let place = row * (self.cells + 1) + column;
        self.corners.get(place).copied().unwrap_or(0.0)
    }
}
